import type { ArtifactConfig } from '../config/config-schema.ts'
import { jittered, type Backoff } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import { Worker } from '../lib/worker.ts'
import type { ArtifactFetchesDeps } from './artifact-fetches.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactStatus } from './artifact-status.ts'
import { ArtifactSync } from './artifact-sync.ts'
import { largeObjectBytes, partBytes } from './part-plan.ts'
import type { Transfers } from './transfers.ts'

export interface ArtifactWorkerDeps {
  readonly artifact: ArtifactConfig
  readonly source: ArtifactSource
  /** `<state>/artifacts/<name>`; nobody else writes there. */
  readonly folder: string
  readonly log: Log
  /** What the artifacts share. */
  readonly transfers: Transfers
  /** How many small objects are fetched at a time. Default 32. */
  readonly concurrency?: number
  /** How long the body of an object may go without a byte. Default 30 s. */
  readonly idleTimeoutMs?: number
  /** Between the tries of one request. Default from half a second to ten. */
  readonly backoff?: Backoff
  /** Default: parts of 8 MiB for objects over 16 MiB. */
  readonly sizes?: ArtifactFetchesDeps['sizes']
  /** The cloud's time in milliseconds since 1970. Default: the system's. */
  readonly cloudNow?: () => number
}

export interface ArtifactWorker {
  readonly worker: Worker
  readonly status: () => ArtifactStatus
  /** A pass that a person asks for: it settles as that does, and does not wait for a download window. */
  readonly syncNow: () => Promise<void>
}

const defaultBackoff: Backoff = { baseMs: 500, capMs: 10_000 }
const stepMs = 240_000

/**
 * Keeps `<folder>/current` at what the source holds: a pass every `pollSeconds`, spread by a tenth so that a fleet
 * does not ask in step. `current` always names one complete release. See ArtifactSync for what a pass promises.
 */
export function createArtifactWorker(deps: ArtifactWorkerDeps): ArtifactWorker {
  const { artifact, transfers, concurrency = 32, idleTimeoutMs = 30_000, cloudNow = Date.now } = deps
  const { backoff = defaultBackoff, sizes = { largeObjectBytes, partBytes } } = deps
  const name = `artifacts:${artifact.name}`
  const log = deps.log.child({ worker: name })
  const sync = new ArtifactSync({
    ...deps,
    ...artifact,
    lane: transfers.lane(),
    log,
    concurrency,
    idleTimeoutMs,
    backoff,
    sizes,
    cloudNow,
  })
  let isAtOnce = false
  const worker = new Worker({
    name,
    log,
    stepMs,
    runPass: async ({ signal, beat }) => {
      const pass = {
        signal,
        isAtOnce,
        beat: () => {
          beat(stepMs + idleTimeoutMs)
        },
      }
      isAtOnce = false
      const waitMs = await sync.runPass(pass)
      const pollMs = jittered(artifact.pollSeconds * 1000, 0.1)
      return { nextInMs: waitMs > 0 ? Math.min(pollMs, waitMs) : pollMs }
    },
  })
  const syncNow = async (): Promise<void> => {
    isAtOnce = true
    await worker.requestPass()
  }
  return { worker, status: () => sync.status(), syncNow }
}
