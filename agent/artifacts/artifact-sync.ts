import { join } from 'node:path'

import type { ArtifactConfig } from '../config/config-schema.ts'
import type { Backoff } from '../lib/backoff.ts'
import type { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { ArtifactFetches, type SyncPass } from './transfer/artifact-fetches.ts'
import { ArtifactIndex } from './artifact-index.ts'
import { contentKey, planRelease, type Plan, type Release } from './artifact-plan.ts'
import type { ArtifactSource, ObjectVersion } from './artifact-source.ts'
import type { ArtifactPhase, ArtifactStatus } from './artifact-status.ts'
import { ContentStore } from './content-store.ts'
import { explainDiskError, isOutOfSpace } from './disk-error.ts'
import { bytesFreedBy, checkEverFits, NeverFitsError } from './free-space.ts'
import type { Health } from './activation/health-gate.ts'
import type { HookRunner } from './activation/hook-runner.ts'
import { summaryOf, type ReleaseSummary } from './release/installed-release.ts'
import type { ObjectSizes } from './transfer/part-plan.ts'
import { ReleaseActivation } from './activation/release-activation.ts'
import { ReleaseFinder, type InstalledHere } from './release/release-finder.ts'
import { ReleaseTree } from './release/release-tree.ts'
import type { Verification } from './release/release-verification.ts'
import { ReleaseVerifier } from './release/release-verifier.ts'
import { SourceState } from './release/source-state.ts'
import type { TransferLane } from './transfer/transfers.ts'
import type { WantedFile, WantedRelease } from './release/wanted-release.ts'

export interface ArtifactSyncDeps {
  readonly artifact: Pick<ArtifactConfig, 'name' | 'accessPoint' | 'prefix' | 'trustedKeys'>
  readonly source: ArtifactSource
  readonly folder: string
  readonly log: Log
  readonly lane: TransferLane
  readonly concurrency: number
  readonly idleTimeoutMs: number
  readonly keepReleases: number
  readonly health: Health | undefined
  readonly runHook: HookRunner
  readonly backoff: Backoff
  readonly sizes: ObjectSizes
  /** How much content that no release needs may stay in the store. */
  readonly maxStoreBytes?: number | undefined
  /** Milliseconds since 1970. */
  readonly cloudNow: () => number
}

export interface SyncOutcome {
  /** How long what is left has to wait for a download window; 0 when nothing is left. */
  readonly waitMs: number
  /** What keeps the wanted release from being current although the pass went well. */
  readonly fault: AgentError | undefined
}

const beatEveryMs = 30_000

type Pass = Omit<SyncPass, 'index'>

interface Room {
  readonly wanted: WantedRelease
  readonly plan: Plan
  readonly index: ArtifactIndex
}

/** Brings one artifact's folder up to what its source holds, pass by pass. Passes must not overlap. */
export class ArtifactSync {
  readonly #deps: ArtifactSyncDeps
  readonly #store: ContentStore
  readonly #tree: ReleaseTree
  readonly #activation: ReleaseActivation
  readonly #finder: ReleaseFinder
  readonly #fetches: ArtifactFetches
  readonly #verifier: ReleaseVerifier
  /** Since the last pass that ended well, the disk was too full for a release. */
  #ranOutOfSpace = false
  #index: ArtifactIndex | undefined
  #state: SourceState | undefined
  #phase: ArtifactPhase = 'idle'
  #waitsUntilMs: number | undefined

  constructor(deps: ArtifactSyncDeps) {
    this.#deps = deps
    this.#store = new ContentStore(join(deps.folder, 'store'))
    this.#tree = new ReleaseTree(deps.folder, deps.log, deps.cloudNow)
    this.#activation = new ReleaseActivation({ ...deps, tree: this.#tree, store: this.#store, now: deps.cloudNow })
    this.#verifier = new ReleaseVerifier({ activation: this.#activation, tree: this.#tree })
    this.#finder = new ReleaseFinder({ ...deps, ...deps.artifact })
    this.#fetches = new ArtifactFetches({ ...deps, store: this.#store, incoming: this.#tree.incoming })
  }

  /**
   * One pass: ends what was left open, asks the source, makes room, fetches what is new, installs a whole release and
   * asks whether it is healthy, removes what nothing needs any more. A listing that succeeds is believed; one that fails
   * changes nothing. An empty one never takes the place of installed files. Whatever is thrown, `current` names the
   * release that it named before, and what was fetched is kept as long as the source lists it. A pass that runs out of
   * space costs the previous releases at the next one, if that can help. `beat` is called on every sign of progress.
   */
  async runPass(pass: Pass): Promise<SyncOutcome> {
    let waitMs = 0
    try {
      await this.#activation.open()
      await this.#store.load()
      this.#state ??= await SourceState.load(this.#deps.folder, this.#deps.log)
      this.#phase = 'activating'
      await this.#activation.settle(pass)
      waitMs = await this.#sync(pass, this.#state)
      return { waitMs, fault: this.#activation.fault() }
    } catch (error) {
      throw explainDiskError(error, this.#deps.folder)
    } finally {
      this.#phase = waitMs > 0 ? 'waiting' : 'idle'
      this.#waitsUntilMs = waitMs > 0 ? this.#deps.cloudNow() + waitMs : undefined
    }
  }

  /** Goes to a kept release, the one before if none is named; see ReleaseActivation. May be called during a pass. */
  async rollBack(to: string | undefined, signal?: AbortSignal): Promise<void> {
    await this.#activation.rollBack(to, signal)
  }

  /**
   * Reads every file of the current release. Damaged content is dropped, and fetched again by the next pass, which
   * builds the release anew. May be called during a pass. Throws when there is no release or it is replaced meanwhile.
   */
  async verify(signal: AbortSignal): Promise<Verification> {
    return await this.#verifier.verify(signal)
  }

  /** The current release first, then the others that are kept. */
  releases(): readonly ReleaseSummary[] {
    const installed = this.#activation.installed
    return installed === undefined ? [] : [summaryOf(installed.record), ...installed.others]
  }

  status(): ArtifactStatus {
    const installed = this.#activation.installed
    const settled = this.#state?.settled
    return {
      name: this.#deps.artifact.name,
      releaseId: installed?.record.releaseId,
      manifest:
        installed !== undefined && settled?.releaseId === installed.record.releaseId ? settled.manifest : undefined,
      installedAtMs: installed === undefined ? undefined : Date.parse(installed.record.installedAt),
      files: installed?.record.files.length ?? 0,
      bytes: installed?.bytes ?? 0,
      ...this.#fetches.totals,
      ...this.#activation.status(),
      phase: this.#phase,
      waitsUntilMs: this.#waitsUntilMs,
      progress: this.#fetches.progress,
      verification: this.#verifier.progress,
    }
  }

  /** Read when something is to be done only: that of a large prefix takes more memory than all the rest. */
  async #openIndex(): Promise<ArtifactIndex> {
    return (this.#index ??= await ArtifactIndex.load(this.#deps.folder, this.#deps.log))
  }

  async #sync(pass: Pass, state: SourceState): Promise<number> {
    this.#phase = 'listing'
    const wasDamaged = this.#activation.isDamaged
    const wanted = await this.#find(state, pass)
    pass.beat()
    const wishId = wanted === 'unchanged' ? state.settled?.wishId : wanted.wishId
    const refused = wishId === undefined ? undefined : await this.#activation.consider(wishId)
    if (wanted !== 'unchanged' && refused === undefined) {
      try {
        const index = await this.#openIndex()
        const brought = await this.#bring(wanted, { ...pass, index })
        if (typeof brought === 'number') {
          await this.#finder.keep()
          return brought
        }
        await state.settle(wanted, brought.releaseId)
      } catch (error) {
        const isOver = error instanceof NeverFitsError // what was tried before is no reason any more
        this.#ranOutOfSpace = !isOver && (this.#ranOutOfSpace || isOutOfSpace(error))
        await this.#finder.keep()
        throw error
      }
    } else {
      if (wanted !== 'unchanged') await state.settle(wanted, refused === 'held' ? undefined : refused?.releaseId)
      await this.#fetches.collect([])
    }
    this.#ranOutOfSpace = false
    await this.#finder.settled()
    // who reads in the damaged tree gets until the next pass to leave it
    if (!wasDamaged) await this.#collect()
    if (!wasDamaged && wanted !== 'unchanged') await this.#forget(wanted, await this.#openIndex())
    return 0
  }

  /** Bounded by the finder, so that a long listing over a bad link does not look like one that hangs. */
  async #find(state: SourceState, { signal, beat }: Pass): Promise<WantedRelease | 'unchanged'> {
    const timer = setInterval(beat, beatEveryMs)
    try {
      return await this.#finder.find(state, this.#installedHere(), signal)
    } finally {
      clearInterval(timer)
    }
  }

  /** What is held, or in quarantine, stays as it is as long as the source wishes the same. */
  #installedHere(): InstalledHere {
    const activation = this.#activation
    const installed = activation.installed?.record
    return {
      files: installed?.files.length ?? 0,
      isSettled: ({ releaseId, wishId }) =>
        !activation.isDamaged &&
        (releaseId === installed?.releaseId ? !activation.isInDoubt(wishId) : activation.refuses(wishId)),
    }
  }

  /**
   * Fetches and installs what is wanted, where that is not done already. Answers the release, or how long what is left to
   * fetch has to wait for a download window.
   */
  async #bring(wanted: WantedRelease, pass: SyncPass): Promise<Release | number> {
    const { index } = pass
    const sha256Of = ({ object }: WantedFile): string | undefined => index.sha256Of(object)
    const plan = planRelease({ ...wanted, sha256Of, isStored: (content) => this.#store.has(content) })
    await this.#fetches.collect(plan.fetches)
    if (plan.fetches.length > 0 || this.#ranOutOfSpace) await this.#makeRoom({ wanted, plan, index })
    if (plan.fetches.length > 0) this.#phase = 'downloading'
    const waitMs = plan.fetches.length > 0 ? await this.#fetches.fetchAll(plan, pass) : 0
    if (waitMs > 0) return waitMs
    const release = plan.release(sha256Of)
    const activation = this.#activation
    const isCurrent = release.releaseId === activation.installed?.record.releaseId
    if (isCurrent && !activation.isDamaged && !activation.isInDoubt(wanted.wishId)) return release
    this.#phase = 'activating'
    await this.#activation.install(release, wanted.wishId, pass)
    return release
  }

  /**
   * Removes what is left of releases that came to nothing: they may be all that keeps the next one from fitting. The
   * previous releases are a convenience, and stay only while there is space; but also where giving them up cannot help. Throws
   * a NeverFitsError then.
   */
  async #makeRoom(room: Room): Promise<void> {
    await this.#collectFor(room, { keepOthers: true })
    if (room.plan.fetches.length > 0) await this.#checkEverFits(room.plan)
    if (!this.#ranOutOfSpace) return
    const others = this.#activation.installed?.others ?? []
    await this.#collectFor(room, { keepOthers: false })
    for (const { releaseId } of others) {
      this.#deps.log.warn('previous release removed to make room for the next one', { releaseId })
    }
  }

  async #collectFor({ wanted, plan, index }: Room, { keepOthers }: { readonly keepOthers: boolean }): Promise<void> {
    const installed = this.#activation.installed
    const kept = [plan.contents, installed?.contents, keepOthers ? installed?.previousContents : undefined]
    // the store first: renaming a tree may need space itself
    await this.#store.collect(
      (key) => kept.some((contents) => contents?.has(key) === true),
      keepOthers ? this.#deps.maxStoreBytes : 0,
    )
    await this.#activation.collect({ keepOthers })
    index.prune(objectsOf(wanted), (sha256) => this.#store.has({ sha256, executable: false }))
  }

  async #checkEverFits({ fetches, contents }: Plan): Promise<void> {
    const { folder, lane } = this.#deps
    const installed = this.#activation.installed?.contents
    const neededBytes = await this.#fetches.missingBytes(fetches)
    await checkEverFits({ folder, neededBytes, minFreeBytes: lane.transfers.limits.minFreeBytes }, async () => {
      const unwanted = this.#store.unwanted((key) => contents.has(key) || installed?.has(key) === true)
      return await bytesFreedBy([...unwanted, ...(await this.#tree.filesOfOthers())])
    })
  }

  /** Removes what neither the installed release nor those kept beside it need. */
  async #collect(): Promise<void> {
    const installed = this.#activation.installed
    if (installed === undefined) return
    const { contents, previousContents } = installed
    await this.#activation.collect({ keepOthers: true })
    await this.#store.collect((key) => contents.has(key) || previousContents.has(key), this.#deps.maxStoreBytes)
  }

  /** Forgets the objects that neither the source nor the store has. */
  async #forget(wanted: WantedRelease, index: ArtifactIndex): Promise<void> {
    const contents = this.#activation.installed?.contents
    index.prune(objectsOf(wanted), (sha256) => {
      const content = { sha256, executable: false }
      return this.#store.has(content) && contents?.has(contentKey(content)) !== true
    })
    await index.save()
  }
}

function objectsOf({ files }: WantedRelease): readonly ObjectVersion[] {
  return files.map(({ object }) => object)
}
