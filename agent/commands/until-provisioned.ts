import { readUnprovisioned } from '../config/base-document.ts'
import type { UnprovisionedConfig } from '../config/config-schema.ts'
import { parseUnprovisioned, readConfigDocument } from '../config/load-config.ts'
import { runFirstBoot, type FirstBootOptions } from '../composition/first-boot/first-boot.ts'
import { linkedAbort } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { Service } from '../composition/service.ts'
import type { CommandContext } from './command-context.ts'

export interface UntilProvisionedOptions
  extends Pick<FirstBootOptions, 'log' | 'recent' | 'proxyEnvironment'>, Pick<CommandContext, 'onHangup'> {
  readonly configFile: string
  readonly service: Pick<Service, 'ready' | 'reloading' | 'kept'>
}

/**
 * Resolves at once where the appliance has an identity, and otherwise when it has got one, or when `signal` aborts. A
 * hang-up reads the configuration anew and has the next attempt made at once.
 */
export async function untilProvisioned(options: UntilProvisionedOptions, signal: AbortSignal): Promise<void> {
  const { configFile, onHangup, ...shared } = options
  let config = await readUnprovisioned(configFile)
  if (config === undefined) return
  let hangUp = (): void => undefined
  onHangup(() => {
    hangUp()
  })
  while (config !== undefined && !signal.aborted) {
    using round = linkedAbort(signal)
    hangUp = () => {
      shared.service.reloading()
      round.controller.abort(new AgentError('the configuration is read anew'))
    }
    await runFirstBoot({ config, ...shared }, round.controller.signal)
    if (round.controller.signal.aborted) config = await readAnew(options, config)
    else config = undefined
  }
  hangUp = () => undefined
}

/** A changed file that is at fault changes nothing. */
async function readAnew(
  { configFile, log }: UntilProvisionedOptions,
  before: UnprovisionedConfig,
): Promise<UnprovisionedConfig | undefined> {
  try {
    parseUnprovisioned(await readConfigDocument(configFile), configFile)
    return await readUnprovisioned(configFile)
  } catch (error) {
    log.error('the changed configuration is at fault: the one in use stays', { error })
    return before
  }
}
