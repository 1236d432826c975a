import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { runAgent } from '../../agent/agent.ts'
import { ConfigReloads } from '../../agent/composition/configuration/config-reloads.ts'
import { openBase } from '../../agent/config/base-document.ts'
import { Configurations } from '../../agent/composition/configuration/configurations.ts'
import { createLog, streamSink, type RootLog } from '../../agent/lib/log.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'

/**
 * The agent with somebody beside it who changes its configuration, as jobs do: `configured-agent.ts run --config FILE`.
 * Answers at `<runtime>/changes.sock`: `POST /propose/<change>`, `POST /dry-run/<change>`, `GET /outcome/<job>`, all JSON, percent-encoded. What
 * a job called `bad...` brings never gets its control connection. A second of a trial lasts 10 ms, or what the environment
 * says; a generation that logs at level debug kills the process, or throws, where the environment says so.
 */
const { PANORAMA_TEST_SECOND_MS: secondMs = '10', PANORAMA_TEST_AT_DEBUG: atDebug } = process.env
const [, , , , file = ''] = process.argv

process.umask(0o077)
const stop = new AbortController()
process.on('SIGTERM', () => {
  stop.abort()
})
const base = await openBase(file, '/nowhere')
const ring = new LogRing()
const log = withFault(createLog({ level: base.config.logs.level, sinks: [streamSink(process.stdout), ring.sink] }))
const service = { reloading: () => undefined, kept: () => undefined }
const reloads: ConfigReloads = new ConfigReloads({ load: () => configurations.load(), service, log })
const requestReload = (): void => {
  reloads.request()
}
const configurations = new Configurations({ file, base, log, requestReload, trialSecondMs: Number(secondMs) })
process.on('SIGHUP', () => {
  configurations.reloadBase()
})

const socket = join(base.config.paths.runtime, 'changes.sock')
const server = createServer((request, response) => {
  answer(request.url ?? '').then(
    (body) => response.end(JSON.stringify(body ?? null)),
    (error: unknown) => response.writeHead(500).end(JSON.stringify(String(error))),
  )
})
void listen()
const control = async (signal: AbortSignal): Promise<void> => {
  while (configurations.status().job?.jobId.startsWith('bad') === true) await delay(1_000, undefined, { signal })
}
const overrides = { minCredentialIntervalMs: 0 }
const options = { config: base.config, configurations, log, ring, reloads, overrides, control: () => ({ control }) }
await runAgent(options, stop.signal)
await configurations[Symbol.asyncDispose]()
server.close()
process.exit(0)

async function answer(url: string): Promise<unknown> {
  const [, verb, text = ''] = url.split('/')
  const argument = JSON.parse(decodeURIComponent(text)) as never // the test's own
  if (verb === 'propose') return await configurations.propose(argument)
  return verb === 'dry-run' ? configurations.dryRun(argument) : configurations.outcomeOf(argument)
}

/** Once the agent has made its folders, and is the only one. */
async function listen(): Promise<void> {
  while (!isReady()) await delay(5)
  await rm(socket, { force: true })
  server.listen(socket)
}

function isReady(): boolean {
  try {
    configurations.outcomeOf({ jobId: '', executionNumber: 1 })
    return true
  } catch {
    return false
  }
}

function withFault(root: RootLog): RootLog {
  const setLevel: RootLog['setLevel'] = (level) => {
    if (level === 'debug' && atDebug === 'kill') process.kill(process.pid, 'SIGKILL')
    if (level === 'debug' && atDebug === 'throw') throw new Error('injected by the test')
    root.setLevel(level)
  }
  return { ...root, setLevel }
}
