import type { ArtifactConfig } from '../config/config-schema.ts'
import { jittered, type Backoff } from '../lib/backoff.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { Worker } from '../lib/worker.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactStatus } from './artifact-status.ts'
import { ArtifactSync } from './artifact-sync.ts'
import type { HookRunner } from './activation/hook-runner.ts'
import type { ReleaseSummary } from './release/installed-release.ts'
import type { Verification } from './release/release-verification.ts'
import { sizesWithin, type ObjectSizes } from './transfer/part-plan.ts'
import type { Transfers } from './transfer/transfers.ts'

export interface ArtifactWorkerDeps {
  readonly artifact: ArtifactConfig
  readonly source: ArtifactSource
  /** `<state>/artifacts/<name>`; nobody else writes there. */
  readonly folder: string
  /** Runs `artifact.health.hook`. Default: no hook can be run. */
  readonly runHook?: HookRunner
  readonly log: Log
  /** What the artifacts share. */
  readonly transfers: Transfers
  /** How many small objects are fetched at a time. Default 32. */
  readonly concurrency?: number
  /** How long the body of an object may go without a byte. Default 30 s. */
  readonly idleTimeoutMs?: number
  /** Between the tries of one request. Default from half a second to ten. */
  readonly backoff?: Backoff
  /** Default: parts of 8 MiB for objects over 16 MiB, or less where many artifacts share little. */
  readonly sizes?: ObjectSizes
  /** The cloud's time in milliseconds since 1970. Default: the system's. */
  readonly cloudNow?: () => number
}

export interface ArtifactWorker {
  readonly worker: Worker
  readonly status: () => ArtifactStatus
  /** The current release first, then the others that are kept. */
  readonly releases: () => readonly ReleaseSummary[]
  /** See ArtifactSync. Damage is mended by a pass that begins at once. */
  readonly verify: (signal: AbortSignal) => Promise<Verification>
  readonly rollBack: (to: string | undefined, signal?: AbortSignal) => Promise<void>
  /**
   * A pass that a person asks for: it settles as that does, and does not wait for a download window. Once `signal` aborts it
   * keeps to the windows again: what no other pass would download now is not begun any more.
   */
  readonly syncNow: (signal?: AbortSignal) => Promise<void>
}

const defaultBackoff: Backoff = { baseMs: 500, capMs: 10_000 }
const stepMs = 240_000

/**
 * Keeps `<folder>/current` at what the source holds: a pass every `pollSeconds`, spread by a tenth so that a fleet
 * does not ask in step. `current` always names one complete release. See ArtifactSync for what a pass promises.
 */
export function createArtifactWorker(deps: ArtifactWorkerDeps): ArtifactWorker {
  const { artifact, transfers, concurrency = 32, idleTimeoutMs = 30_000, cloudNow = Date.now } = deps
  const { backoff = defaultBackoff, runHook = noHooks } = deps
  const lane = transfers.lane()
  const name = `artifacts:${artifact.name}`
  const log = deps.log.child({ worker: name })
  const { keepReleases, health, maxStoreBytes } = artifact
  const failures = new FailureLog(log)
  const sync = new ArtifactSync({
    ...deps,
    lane,
    log,
    concurrency,
    idleTimeoutMs,
    backoff,
    sizes: deps.sizes ?? sizesWithin(lane.requestBytes),
    runHook,
    cloudNow,
    keepReleases,
    health,
    maxStoreBytes,
  })
  let asking: readonly (AbortSignal | undefined)[] = []
  const worker = new Worker({
    name,
    log,
    stepMs,
    runPass: async ({ signal, beat }) => {
      const asked = asking
      const pass = {
        signal,
        isAtOnce: () => asked.some((each) => each?.aborted !== true),
        beat: () => {
          beat(stepMs + idleTimeoutMs)
        },
      }
      asking = []
      const { waitMs, fault } = await sync.runPass(pass)
      if (fault === undefined) failures.recovered('the release that the source wishes is installed')
      else failures.failed('the release that the source wishes is not installed', fault)
      const pollMs = jittered(artifact.pollSeconds * 1000, 0.1)
      return { nextInMs: waitMs > 0 ? Math.min(pollMs, waitMs) : pollMs, fault }
    },
  })
  return {
    worker,
    status: () => sync.status(),
    syncNow: async (abandoned) => {
      asking = [...asking, abandoned]
      await worker.requestPass()
    },
    releases: () => sync.releases(),
    verify: async (signal) => {
      const found = await sync.verify(signal)
      if (found.damaged.length > 0) worker.requestPass().catch(() => undefined) // the worker reports it itself
      return found
    },
    rollBack: (to, signal) => sync.rollBack(to, signal),
  }
}

const noHooks: HookRunner = (name) =>
  Promise.resolve({ healthy: false, why: `hook ${name}: nobody is there to run hooks` })
