import { runAgent } from '../agent.ts'
import { agentVersion } from '../build-info.ts'
import { loadConfig } from '../config/load-config.ts'
import { createLog, streamSink } from '../lib/log.ts'
import { LogRing } from '../logs/log-ring.ts'
import { ConfigReloads } from '../config-reloads.ts'
import { Service } from '../service.ts'
import { reportLastRun } from '../status/last-run.ts'
import type { CommandContext } from './command-context.ts'

export interface RunOptions {
  readonly configFile: string
}

/** `panorama-agent run`: the agent itself, until the signal aborts. SIGHUP reads the configuration anew. */
export async function run({ configFile }: RunOptions, context: CommandContext): Promise<void> {
  const { signal, stdout, service: environment, onHangup } = context
  const config = await loadConfig(configFile)
  const ring = new LogRing()
  const log = createLog({ level: config.logs.level, sinks: [streamSink(stdout), ring.sink] })
  log.info('agent starts', { version: agentVersion, config: configFile })
  await reportLastRun({ ...environment, runtimeFolder: config.paths.runtime, log })
  using service = new Service(environment, log)
  const reloads = new ConfigReloads({ load: async () => await loadConfig(configFile), service, log })
  onHangup(() => {
    reloads.request()
  })
  const onAbort = (): void => {
    service.stopping()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  await runAgent({ config, log, ring, service, reloads }, signal)
  log.info('agent stopped')
}
