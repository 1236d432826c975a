import { join } from 'node:path'

import type { ArtifactConfig } from '../config/config-schema.ts'
import type { Log } from '../lib/log.ts'
import { ArtifactFetches, type SyncPass } from './artifact-fetches.ts'
import { ArtifactIndex } from './artifact-index.ts'
import { contentKey, planRelease, type Plan, type Release } from './artifact-plan.ts'
import type { ArtifactSource, ObjectVersion } from './artifact-source.ts'
import type { ArtifactPhase, ArtifactStatus } from './artifact-status.ts'
import { ContentStore } from './content-store.ts'
import { explainDiskError, isOutOfSpace } from './disk-error.ts'
import { describeInstalled, type InstalledRelease } from './installed-release.ts'
import { ReleaseFinder, type InstalledHere } from './release-finder.ts'
import { ReleaseTree } from './release-tree.ts'
import { SourceState } from './source-state.ts'
import type { WantedFile, WantedRelease } from './wanted-release.ts'

export interface ArtifactSyncDeps {
  readonly artifact: Pick<ArtifactConfig, 'name' | 'accessPoint' | 'prefix' | 'trustedKeys'>
  readonly source: ArtifactSource
  readonly folder: string
  readonly log: Log
  readonly concurrency: number
  readonly idleTimeoutMs: number
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
  #state: SourceState | undefined
  #installed: InstalledRelease | undefined
  #phase: ArtifactPhase = 'idle'

  constructor(deps: ArtifactSyncDeps) {
    this.#deps = deps
    this.#store = new ContentStore(join(deps.folder, 'store'))
    this.#tree = new ReleaseTree(deps.folder, deps.log, deps.cloudNow)
    this.#finder = new ReleaseFinder({ ...deps.artifact, source: deps.source })
    this.#fetches = new ArtifactFetches({ ...deps, store: this.#store, incoming: this.#tree.incoming })
  }

  /**
   * One pass: asks the source, makes room, fetches what is new, installs a whole release, removes what nothing needs any more. A
   * listing that succeeds is believed; one that fails changes nothing. An empty one never takes the place of installed files.
   * Whatever is thrown, `current` names the release that it named before, and what was fetched is kept as long as the
   * source lists it. A pass that runs out of space costs the previous release at the next one. `beat` is called on
   * every sign of progress.
   */
  async runPass(signal: AbortSignal, beat: () => void): Promise<void> {
    try {
      const index = await this.#open()
      this.#state ??= await SourceState.load(this.#deps.folder, this.#deps.log)
      await this.#sync({ index, signal, beat }, this.#state)
    } catch (error) {
      throw explainDiskError(error, this.#deps.folder)
    } finally {
      this.#phase = 'idle'
    }
  }

  status(): ArtifactStatus {
    const installed = this.#installed
    const settled = this.#state?.settled
    return {
      name: this.#deps.artifact.name,
      releaseId: installed?.record.releaseId,
      manifest: settled?.releaseId === installed?.record.releaseId ? settled?.manifest : undefined,
      installedAtMs: installed === undefined ? undefined : Date.parse(installed.record.installedAt),
      files: installed?.record.files.length ?? 0,
      bytes: installed?.bytes ?? 0,
      ...this.#fetches.totals,
      phase: this.#phase,
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

  async #sync(pass: SyncPass, state: SourceState): Promise<void> {
    this.#phase = 'listing'
    const wanted = await this.#finder.find(state, this.#installedHere(), pass.signal)
    pass.beat()
    if (wanted === 'unchanged') {
      this.#ranOutOfSpace = false
      await this.#collect()
      return
    }
    const release = await this.#bringUpTo(wanted, pass)
    await state.settle(wanted, release.releaseId)
    await this.#collect()
    await this.#forget(wanted, pass.index)
  }

  #installedHere(): InstalledHere {
    const installed = this.#installed?.record
    return {
      files: installed?.files.length ?? 0,
      isSettled: ({ releaseId }) => releaseId === installed?.releaseId,
    }
  }

  /** Fetches and installs what is wanted, where that is not done already. */
  async #bringUpTo(wanted: WantedRelease, pass: SyncPass): Promise<Release> {
    const { index } = pass
    const sha256Of = ({ object }: WantedFile): string | undefined => index.sha256Of(object)
    const plan = planRelease({ ...wanted, sha256Of, isStored: (content) => this.#store.has(content) })
    if (plan.fetches.length > 0 || this.#ranOutOfSpace) await this.#makeRoom({ wanted, plan, index })
    try {
      if (plan.fetches.length > 0) this.#phase = 'downloading'
      if (plan.fetches.length > 0) await this.#fetches.fetchAll(plan, pass)
      const release = plan.release(sha256Of)
      if (release.releaseId !== this.#installed?.record.releaseId) await this.#install(release, pass)
      this.#ranOutOfSpace = false
      return release
    } catch (error) {
      this.#ranOutOfSpace ||= isOutOfSpace(error)
      throw error
    }
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
    await this.#store.collect((key) => plan.contents.has(key) || kept.some((contents) => contents?.has(key) === true))
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
  async #collect(): Promise<void> {
    if (this.#installed === undefined) return
    const { record, contents, previousContents } = this.#installed
    await this.#tree.collect([record.releaseId, record.previous])
    await this.#store.collect((key) => contents.has(key) || previousContents.has(key))
  }

  /** Forgets the objects that neither the source nor the previous release has. */
  async #forget(wanted: WantedRelease, index: ArtifactIndex): Promise<void> {
    index.prune(objectsOf(wanted), (sha256) => {
      const key = contentKey({ sha256, executable: false })
      return this.#installed?.previousContents.has(key) === true && !this.#installed.contents.has(key)
    })
    await index.save()
  }
}

function objectsOf({ files }: WantedRelease): readonly ObjectVersion[] {
  return files.map(({ object }) => object)
}
