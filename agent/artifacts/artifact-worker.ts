import type { ArtifactConfig } from '../config/config-schema.ts'
import { jittered } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import { Worker } from '../lib/worker.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactStatus } from './artifact-status.ts'
import { ArtifactSync } from './artifact-sync.ts'

export interface ArtifactWorkerDeps {
  readonly artifact: ArtifactConfig
  readonly source: ArtifactSource
  /** `<state>/artifacts/<name>`; nobody else writes there. */
  readonly folder: string
  readonly log: Log
  /** How many objects are fetched at a time. Default 8. */
  readonly concurrency?: number
  /** How long the body of an object may go without a byte. Default 30 s. */
  readonly idleTimeoutMs?: number
  /** The cloud's time in milliseconds since 1970. Default: the system's. */
  readonly cloudNow?: () => number
}

export interface ArtifactWorker {
  readonly worker: Worker
  readonly status: () => ArtifactStatus
}

const stepMs = 240_000

/**
 * Keeps `<folder>/current` at what the source holds: a pass every `pollSeconds`, spread by a tenth so that a fleet
 * does not ask in step. `current` always names one complete release. See ArtifactSync for what a pass promises.
 */
export function createArtifactWorker(deps: ArtifactWorkerDeps): ArtifactWorker {
  const { artifact, concurrency = 8, idleTimeoutMs = 30_000, cloudNow = Date.now } = deps
  const name = `artifacts:${artifact.name}`
  const log = deps.log.child({ worker: name })
  const sync = new ArtifactSync({ ...deps, log, concurrency, idleTimeoutMs, cloudNow })
  const worker = new Worker({
    name,
    log,
    stepMs,
    runPass: async ({ signal, beat }) => {
      await sync.runPass(signal, () => {
        beat(stepMs + idleTimeoutMs)
      })
      return { nextInMs: jittered(artifact.pollSeconds * 1000, 0.1) }
    },
  })
  return { worker, status: () => sync.status() }
}
