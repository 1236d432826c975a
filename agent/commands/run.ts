import { runAgent } from '../agent.ts'
import { loadConfig } from '../config/load-config.ts'
import { createLog, streamSink } from '../lib/log.ts'
import { LogRing } from '../logs/log-ring.ts'
import { agentVersion } from '../build-info.ts'
import type { CommandContext } from './command-context.ts'

export interface RunOptions {
  readonly configFile: string
}

/** `panorama-agent run`: the agent itself, until the signal aborts. */
export async function run({ configFile }: RunOptions, { signal, stdout }: CommandContext): Promise<void> {
  const config = await loadConfig(configFile)
  const ring = new LogRing()
  const log = createLog({ level: config.logs.level, sinks: [streamSink(stdout), ring.sink] })
  log.info('agent starts', { version: agentVersion, config: configFile })
  await runAgent({ config, log, ring }, signal)
  log.info('agent stopped')
}
