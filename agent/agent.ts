import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { composeStatus } from './agent-status.ts'
import type { Config } from './config/config-schema.ts'
import { createGeneration } from './generation.ts'
import { makeFolder } from './lib/durable-files.ts'
import { AgentError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import { monotonicMs } from './lib/monotonic.ts'
import type { Worker } from './lib/worker.ts'
import type { LogRing } from './logs/log-ring.ts'
import type { LogWorker } from './logs/log-worker.ts'
import { localRequests } from './local-requests.ts'
import { createSession, type Session, type SessionOverrides } from './session.ts'
import { socketPathIn } from './status/status-client.ts'
import { startStatusServer } from './status/status-server.ts'

export interface AgentOptions {
  readonly config: Config
  readonly log: Log
  /** Where `log` keeps what CloudWatch has not got yet. */
  readonly ring: LogRing
  readonly overrides?: SessionOverrides
}

const lastFlushMs = 3_000

/**
 * Runs the agent until `signal` aborts, then ends everything and resolves. Needs no network and no identity to start.
 * Rejects only when its folders or its socket cannot be made.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { config, log, ring, overrides = {} } = options
  const startedMs = monotonicMs()
  await makeFolders(config, log)
  using session = await createSession({ config, log, overrides })
  const generation = createGeneration({ config, session, log, ring })
  session.credentials.at(-1)?.onRenewed(generation.retryNow)
  await using logs = generation.logs
  const requests = localRequests({
    session,
    generation,
    status: () => composeStatus({ config, session, generation, startedMs }),
  })
  const server = await startStatusServer({ socketPath: socketPathIn(config.paths.runtime), requests, log })
  await using _ = server
  log.info('agent is ready', { thingName: config.device.thingName, pid: process.pid })
  const workers = superviseAll(generation.workers, signal)
  await untilStopped({ session, workers, logs })
}

interface Running {
  readonly session: Session
  /** Settles when the workers of the generation have ended. */
  readonly workers: Promise<void>
  readonly logs: LogWorker
}

/** The session outlives the generation, because the last flush of the logs needs credentials. */
async function untilStopped({ session, workers, logs }: Running): Promise<void> {
  const sessionEnd = new AbortController()
  const sessionWorkers = superviseAll(session.workers, sessionEnd.signal)
  try {
    await workers
    await logs.flushOnStop(AbortSignal.timeout(lastFlushMs))
  } finally {
    sessionEnd.abort()
    await sessionWorkers
  }
}

async function superviseAll(workers: readonly Worker[], signal: AbortSignal): Promise<void> {
  await Promise.all(
    workers.map(async (worker) => {
      await worker.supervise(signal)
    }),
  )
}

/**
 * Makes the folders that everything stands on. Fails only when state or runtime are not there at all: on a file system
 * that has become read-only, cameras and logs go on, and each worker reports what it cannot write.
 */
async function makeFolders({ paths }: Config, log: Log): Promise<void> {
  const folders = [
    { path: paths.state, mode: 0o711, isVital: true },
    { path: join(paths.state, 'artifacts'), mode: 0o755, isVital: false },
    { path: join(paths.state, 'identity'), mode: 0o700, isVital: false },
    { path: paths.runtime, mode: 0o755, isVital: true },
  ]
  for (const { path, mode, isVital } of folders) {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 })
      await makeFolder(path, mode)
    } catch (cause) {
      const error = new AgentError(`the folder ${path} cannot be made`, {
        hint: 'let the user that the agent runs as write there, or name other folders in paths.*',
        cause,
      })
      if (isVital && !(await isFolder(path))) throw error
      log.error('folder is not as it should be', { error })
    }
  }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
