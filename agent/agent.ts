import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { composeStatus } from './agent-status.ts'
import type { Config } from './config/config-schema.ts'
import { createGeneration, type Generation } from './generation.ts'
import { AgentError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import { monotonicMs } from './lib/monotonic.ts'
import type { Worker } from './lib/worker.ts'
import type { LogRing } from './logs/log-ring.ts'
import type { LogWorker } from './logs/log-worker.ts'
import { createSession, type Session, type SessionOverrides } from './session.ts'
import { socketPathIn } from './status/status-client.ts'
import { startStatusServer, type LocalRequests } from './status/status-server.ts'

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
  await makeFolders(config)
  using session = await createSession({ config, log, overrides })
  const generation = createGeneration({ config, session, log, ring })
  await using logs = generation.logs
  const requests = localRequests(generation, () => composeStatus({ config, session, generation, startedMs }))
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

function localRequests(generation: Generation, status: LocalRequests['status']): LocalRequests {
  const { artifacts, cameras } = generation
  return {
    status,
    sync: async (name) => {
      const chosen = artifacts.filter((artifact) => name === undefined || artifact.status().name === name)
      if (chosen.length === 0) throw unknownName('artifact', name)
      await Promise.all(
        chosen.map(async ({ worker }) => {
          await worker.requestPass()
        }),
      )
    },
    refresh: async (name) => {
      const known = cameras.status().some((camera) => name === undefined || camera.name === name)
      if (!known) throw unknownName('camera', name)
      await cameras.refreshNow(name)
    },
  }
}

async function makeFolders({ paths }: Config): Promise<void> {
  const folders = [
    { path: paths.state, mode: 0o711 },
    { path: join(paths.state, 'artifacts'), mode: 0o755 },
    { path: join(paths.state, 'identity'), mode: 0o700 },
    { path: paths.runtime, mode: 0o755 },
  ]
  for (const { path, mode } of folders) {
    try {
      await mkdir(path, { recursive: true, mode })
      await chmod(path, mode)
    } catch (error) {
      throw new AgentError(`the folder ${path} cannot be made`, {
        hint: 'let the user that the agent runs as write there, or name other folders in paths.*',
        cause: error,
      })
    }
  }
}

function unknownName(kind: string, name: string | undefined): AgentError {
  return new AgentError(name === undefined ? `no ${kind} is configured` : `no ${kind} is named "${name}"`, {
    hint: 'panorama-agent status lists the names',
  })
}
