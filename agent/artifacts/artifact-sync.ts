import { join } from 'node:path'

import type { Backoff } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import { ArtifactFetches, type ArtifactFetchesDeps, type SyncPass } from './artifact-fetches.ts'
import { ArtifactIndex } from './artifact-index.ts'
import { contentKey, planRelease, type Plan, type Release } from './artifact-plan.ts'
import type { ArtifactSource, ObjectVersion } from './artifact-source.ts'
import type { ArtifactPhase, ArtifactStatus } from './artifact-status.ts'
import { ContentStore } from './content-store.ts'
import { explainDiskError, isOutOfSpace } from './disk-error.ts'
import { describeInstalled, type InstalledRelease } from './installed-release.ts'
import { ReleaseFinder } from './release-finder.ts'
import { ReleaseTree } from './release-tree.ts'
import type { TransferLane } from './transfers.ts'
import type { WantedFile, WantedRelease } from './wanted-release.ts'

export interface ArtifactSyncDeps {
  readonly name: string
  readonly source: ArtifactSource
  readonly folder: string
  readonly log: Log
  readonly lane: TransferLane
  readonly concurrency: number
  readonly idleTimeoutMs: number
  readonly backoff: Backoff
  readonly sizes: ArtifactFetchesDeps['sizes']
  /** How much content that no release needs may stay in the store. */
  readonly maxStoreBytes?: number | undefined
  /** Milliseconds since 1970. */
  readonly cloudNow: () => number
}

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
  readonly #finder: ReleaseFinder
  readonly #fetches: ArtifactFetches
  /** Since the last pass that ended well, the disk was too full for a release. */
  #ranOutOfSpace = false
  #index: ArtifactIndex | undefined
  #installed: InstalledRelease | undefined
  #phase: ArtifactPhase = 'idle'
  #waitsUntilMs: number | undefined

  constructor(deps: ArtifactSyncDeps) {
    this.#deps = deps
    this.#store = new ContentStore(join(deps.folder, 'store'))
    this.#tree = new ReleaseTree(deps.folder, deps.log, deps.cloudNow)
    this.#finder = new ReleaseFinder(deps.source)
    this.#fetches = new ArtifactFetches({ ...deps, store: this.#store, incoming: this.#tree.incoming })
  }

  /**
   * One pass: lists, makes room, fetches what is new, installs a whole release, removes what nothing needs any more. A
   * listing that succeeds is believed; one that fails changes nothing. An empty one never takes the place of installed files.
   * Whatever is thrown, `current` names the release that it named before, and what was fetched is kept as long as the
   * source lists it. A pass that runs out of space costs the previous release at the next one. `beat` is called on
   * every sign of progress. Answers how long what is left has to wait for a download window; 0 when nothing is left.
   */
  async runPass(pass: Omit<SyncPass, 'index'>): Promise<number> {
    let waitMs = 0
    try {
      const index = await this.#open()
      waitMs = await this.#sync({ ...pass, index })
    } catch (error) {
      throw explainDiskError(error, this.#deps.folder)
    } finally {
      this.#phase = waitMs > 0 ? 'waiting' : 'idle'
      this.#waitsUntilMs = waitMs > 0 ? this.#deps.cloudNow() + waitMs : undefined
    }
    return waitMs
  }

  status(): ArtifactStatus {
    const installed = this.#installed
    return {
      name: this.#deps.name,
      releaseId: installed?.record.releaseId,
      installedAtMs: installed === undefined ? undefined : Date.parse(installed.record.installedAt),
      files: installed?.record.files.length ?? 0,
      bytes: installed?.bytes ?? 0,
      ...this.#fetches.totals,
      phase: this.#phase,
      waitsUntilMs: this.#waitsUntilMs,
      progress: this.#fetches.progress,
    }
  }

  async #open(): Promise<ArtifactIndex> {
    await this.#tree.prepare()
    const currentId = await this.#tree.currentId()
    if (currentId !== this.#installed?.record.releaseId) {
      const record = currentId === undefined ? undefined : await this.#tree.record(currentId)
      this.#installed = record === undefined ? undefined : await describeInstalled(record, this.#tree)
    }
    await this.#store.load()
    this.#index ??= await ArtifactIndex.load(this.#deps.folder, this.#deps.log)
    return this.#index
  }

  async #sync(pass: SyncPass): Promise<number> {
    const { index, signal } = pass
    this.#phase = 'listing'
    const wanted = await this.#finder.find(signal, this.#installed?.record.files.length ?? 0)
    pass.beat()
    const sha256Of = ({ object }: WantedFile): string | undefined => index.sha256Of(object)
    const plan = planRelease({ ...wanted, sha256Of, isStored: (content) => this.#store.has(content) })
    await this.#fetches.collect(plan)
    if (plan.fetches.length > 0 || this.#ranOutOfSpace) await this.#makeRoom({ wanted, plan, index })
    try {
      if (plan.fetches.length > 0) this.#phase = 'downloading'
      const waitMs = plan.fetches.length > 0 ? await this.#fetches.fetchAll(plan, pass) : 0
      if (waitMs > 0) return waitMs
      const release = plan.release(sha256Of)
      if (release.releaseId !== this.#installed?.record.releaseId) await this.#install(release, pass)
    } catch (error) {
      this.#ranOutOfSpace ||= isOutOfSpace(error)
      throw error
    }
    this.#ranOutOfSpace = false
    await this.#collect(wanted, index)
    return 0
  }

  /**
   * Removes what is left of releases that came to nothing: they may be all that keeps the next one from fitting. The
   * previous release is a convenience, and stays only while there is space.
   */
  async #makeRoom({ wanted, plan, index }: Room): Promise<void> {
    const installed = this.#installed
    const { releaseId, previous } = installed?.record ?? {}
    const kept = [installed?.contents, this.#ranOutOfSpace ? undefined : installed?.previousContents]
    // the store first: renaming a tree may need space itself
    await this.#store.collect(
      (key) => plan.contents.has(key) || kept.some((contents) => contents?.has(key) === true),
      this.#ranOutOfSpace ? 0 : this.#deps.maxStoreBytes,
    )
    await this.#tree.collect([releaseId, this.#ranOutOfSpace ? undefined : previous])
    index.prune(objectsOf(wanted), (sha256) => this.#store.has({ sha256, executable: false }))
    if (installed === undefined || !this.#ranOutOfSpace) return
    this.#installed = await describeInstalled(installed.record, this.#tree)
    if (installed.previousContents.size > 0) {
      this.#deps.log.warn('previous release removed to make room for the next one', { releaseId: previous })
    }
  }

  async #install(release: Release, { signal, beat }: SyncPass): Promise<void> {
    signal.throwIfAborted()
    this.#phase = 'switching'
    const record = await this.#tree.install(release, this.#store, signal)
    beat()
    this.#installed = await describeInstalled(record, this.#tree)
    const { bytes } = this.#installed
    this.#deps.log.info('release installed', { releaseId: release.releaseId, files: release.files.length, bytes })
  }

  /** Removes what neither the installed release nor the one before it needs. */
  async #collect(wanted: WantedRelease, index: ArtifactIndex): Promise<void> {
    if (this.#installed === undefined) return
    const { record, contents, previousContents } = this.#installed
    await this.#tree.collect([record.releaseId, record.previous])
    const isNeeded = (key: string): boolean => contents.has(key) || previousContents.has(key)
    await this.#store.collect(isNeeded, this.#deps.maxStoreBytes)
    index.prune(objectsOf(wanted), (sha256) => {
      const content = { sha256, executable: false }
      return this.#store.has(content) && !contents.has(contentKey(content))
    })
    await index.save()
  }
}

function objectsOf({ files }: WantedRelease): readonly ObjectVersion[] {
  return files.map(({ object }) => object)
}
