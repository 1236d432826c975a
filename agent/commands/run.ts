import { runAgent } from '../agent.ts'
import { agentVersion } from '../build-info.ts'
import { openBase, readUnprovisioned, stateFoldersOf, type BaseDocument } from '../config/base-document.ts'
import { defaultStateFolder } from '../config/config-schema.ts'
import { Configurations } from '../composition/configuration/configurations.ts'
import { linkedAbort } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import { createLog, streamSink, type Log } from '../lib/log.ts'
import { settleRuntime } from '../lib/settle-runtime.ts'
import { LogRing } from '../logs/log-ring.ts'
import { ConfigReloads } from '../composition/configuration/config-reloads.ts'
import { Service } from '../composition/service.ts'
import { reportLastRun } from '../status/last-run.ts'
import { finishUnfinishedReset } from '../composition/session/unfinished-reset.ts'
import type { CommandContext } from './command-context.ts'
import { untilProvisioned } from './until-provisioned.ts'

/** For diagnostics: what was logged last, sent or not. */
const recentBounds = { maxLines: 2_000, maxBytes: 262_144 }

export interface RunOptions {
  readonly configFile: string
}

/** `panorama-agent run`: the agent itself, until the signal aborts. SIGHUP reads the configuration anew. */
export async function run({ configFile }: RunOptions, context: CommandContext): Promise<void> {
  const { signal, stdout, service: environment, onHangup } = context
  const { proxy: proxyEnvironment } = environment
  const usualState = environment.stateDirectory ?? defaultStateFolder
  if (!(await finishResets({ configFile, usualState }, context))) return
  const first = (await readUnprovisioned(configFile)) ?? (await openBase(configFile, usualState)).config
  const ring = new LogRing()
  const recent = new LogRing(recentBounds)
  const log = createLog({ level: first.logs.level, sinks: [streamSink(stdout), ring.sink, recent.sink] })
  log.info('agent starts', { version: agentVersion, config: configFile })
  await reportLastRun({ ...environment, runtimeFolder: first.paths.runtime, log })
  using service = new Service(environment, log, settleRuntime)
  const onAbort = (): void => {
    service.stopping()
  }
  using end = linkedAbort(signal)
  end.controller.signal.addEventListener('abort', onAbort, { once: true })
  await untilProvisioned({ configFile, log, recent, service, onHangup, proxyEnvironment }, end.controller.signal)
  if (signal.aborted) {
    log.info('agent stopped')
    return
  }
  const base = await openBase(configFile, usualState)
  const { config } = base
  reportBase(base, log)
  const reloads = new ConfigReloads({ load: () => configurations.load(), service, log })
  const requestReload = (): void => {
    reloads.request()
  }
  await using configurations = new Configurations({ file: configFile, base, log, requestReload })
  onHangup(() => {
    configurations.reloadBase()
  })
  const restart = (): void => {
    end.controller.abort(new AgentError('a job asks for a restart'))
  }
  const isManaged = environment.notifySocket !== undefined
  await runAgent(
    {
      config,
      configurations,
      log,
      ring,
      recent,
      service,
      reloads,
      restart: isManaged ? restart : undefined,
      proxyEnvironment,
    },
    end.controller.signal,
  )
  log.info('agent stopped')
}

/** Before anything else is read there: what is read decides what the agent is. False when it is cut off by the signal. */
async function finishResets(
  { configFile, usualState }: RunOptions & { readonly usualState: string },
  { stdout, signal }: CommandContext,
): Promise<boolean> {
  const log = createLog({ level: 'info', sinks: [streamSink(stdout)] })
  try {
    for (const folder of await stateFoldersOf(configFile, usualState)) await finishUnfinishedReset(folder, log, signal)
    return true
  } catch (error) {
    if (!signal.aborted) throw error
    return false // the next start goes on with it
  }
}

function reportBase({ fault, warning }: BaseDocument, log: Log): void {
  if (warning !== undefined) log.warn('the configuration file is not what is in use', { ...warning })
  if (fault === undefined) return
  log.error('the configuration file is at fault: the copy of the last one that was in use is used', { error: fault })
}
