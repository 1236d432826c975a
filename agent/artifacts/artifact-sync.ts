import { join } from 'node:path'

import { withDeadline } from '../lib/abort.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { ArtifactIndex } from './artifact-index.ts'
import { contentKey, planRelease, type Plan, type Release } from './artifact-plan.ts'
import type { ArtifactSource, SourceObject } from './artifact-source.ts'
import type { ArtifactPhase, ArtifactProgress, ArtifactStatus } from './artifact-status.ts'
import { ContentStore } from './content-store.ts'
import { explainDiskError, isOutOfSpace } from './disk-error.ts'
import { downloadObject, WrongContentError } from './download.ts'
import { ReleaseTree, type ReleaseRecord } from './release-tree.ts'
import { wantedFromListing, type WantedFile } from './wanted-release.ts'

export interface ArtifactSyncDeps {
  readonly name: string
  readonly source: ArtifactSource
  readonly folder: string
  readonly log: Log
  readonly concurrency: number
  readonly idleTimeoutMs: number
  /** Milliseconds since 1970. */
  readonly cloudNow: () => number
}

interface Installed {
  readonly record: ReleaseRecord
  readonly bytes: number
  readonly contents: ReadonlySet<string>
  readonly previousContents: ReadonlySet<string>
}

interface SyncPass {
  readonly index: ArtifactIndex
  readonly signal: AbortSignal
  readonly beat: () => void
}

interface Room {
  readonly objects: readonly SourceObject[]
  readonly plan: Plan
  readonly index: ArtifactIndex
}

const listWithinMs = 600_000

/** Brings one artifact's folder up to what its source holds, pass by pass. Passes must not overlap. */
export class ArtifactSync {
  readonly #deps: ArtifactSyncDeps
  readonly #store: ContentStore
  readonly #tree: ReleaseTree
  /** What failed its checksum, so that the same bytes are not fetched at every pass. By key. */
  readonly #wrong = new Map<string, { readonly etag: string | undefined; readonly error: WrongContentError }>()
  /** Since the last pass that ended well, the disk was too full for a release. */
  #ranOutOfSpace = false
  #index: ArtifactIndex | undefined
  #installed: Installed | undefined
  #phase: ArtifactPhase = 'idle'
  #progress: ArtifactProgress | undefined
  #fetchedFiles = 0
  #fetchedBytes = 0

  constructor(deps: ArtifactSyncDeps) {
    this.#deps = deps
    this.#store = new ContentStore(join(deps.folder, 'store'))
    this.#tree = new ReleaseTree(deps.folder, deps.log, deps.cloudNow)
  }

  /**
   * One pass: lists, makes room, fetches what is new, installs a whole release, removes what nothing needs any more. A
   * listing that succeeds is believed; one that fails changes nothing. An empty one never takes the place of installed files.
   * Whatever is thrown, `current` names the release that it named before, and what was fetched is kept as long as the
   * source lists it. A pass that runs out of space costs the previous release at the next one. `beat` is called on
   * every sign of progress.
   */
  async runPass(signal: AbortSignal, beat: () => void): Promise<void> {
    try {
      const index = await this.#open()
      await this.#sync({ index, signal, beat })
    } catch (error) {
      throw explainDiskError(error, this.#deps.folder)
    } finally {
      this.#phase = 'idle'
      this.#progress = undefined
    }
  }

  status(): ArtifactStatus {
    const installed = this.#installed
    return {
      name: this.#deps.name,
      releaseId: installed?.record.releaseId,
      installedAtMs: installed === undefined ? undefined : Date.parse(installed.record.installedAt),
      files: installed?.record.files.length ?? 0,
      bytes: installed?.bytes ?? 0,
      fetchedFiles: this.#fetchedFiles,
      fetchedBytes: this.#fetchedBytes,
      phase: this.#phase,
      progress: this.#progress,
    }
  }

  async #open(): Promise<ArtifactIndex> {
    await this.#tree.prepare()
    const currentId = await this.#tree.currentId()
    if (currentId !== this.#installed?.record.releaseId) {
      const record = currentId === undefined ? undefined : await this.#tree.record(currentId)
      this.#installed = record === undefined ? undefined : await this.#describe(record)
    }
    await this.#store.load()
    this.#index ??= await ArtifactIndex.load(this.#deps.folder, this.#deps.log)
    return this.#index
  }

  async #describe(record: ReleaseRecord): Promise<Installed> {
    const previous = record.previous === undefined ? undefined : await this.#tree.record(record.previous)
    return {
      record,
      bytes: record.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      contents: new Set(record.files.map(contentKey)),
      previousContents: new Set(previous?.files.map(contentKey)),
    }
  }

  async #sync(pass: SyncPass): Promise<void> {
    const { index, signal } = pass
    this.#phase = 'listing'
    const deadline = { signal, withinMs: listWithinMs, what: 'the listing' }
    const objects = await withDeadline(deadline, (inner) => this.#deps.source.list(inner))
    pass.beat()
    if (objects.every(({ key }) => key.endsWith('/')) && (this.#installed?.record.files.length ?? 0) > 0)
      throw emptied()
    const sha256Of = ({ object }: WantedFile): string | undefined => index.sha256Of(object)
    const plan = planRelease({
      files: wantedFromListing(objects),
      sha256Of,
      isStored: (content) => this.#store.has(content),
    })
    if (plan.fetches.length > 0 || this.#ranOutOfSpace) await this.#makeRoom({ objects, plan, index })
    try {
      await this.#fetchAll(plan, pass)
      const release = plan.release(sha256Of)
      if (release.releaseId !== this.#installed?.record.releaseId) await this.#install(release, pass)
    } catch (error) {
      this.#ranOutOfSpace ||= isOutOfSpace(error)
      throw error
    }
    this.#ranOutOfSpace = false
    await this.#collect(objects, index)
  }

  /**
   * Removes what is left of releases that came to nothing: they may be all that keeps the next one from fitting. The
   * previous release is a convenience, and stays only while there is space.
   */
  async #makeRoom({ objects, plan, index }: Room): Promise<void> {
    const installed = this.#installed
    const { releaseId, previous } = installed?.record ?? {}
    const kept = [installed?.contents, this.#ranOutOfSpace ? undefined : installed?.previousContents]
    // the store first: renaming a tree may need space itself
    await this.#store.collect((key) => plan.contents.has(key) || kept.some((contents) => contents?.has(key) === true))
    await this.#tree.collect([releaseId, this.#ranOutOfSpace ? undefined : previous])
    index.prune(objects, (sha256) => this.#store.has({ sha256, executable: false }))
    if (installed === undefined || !this.#ranOutOfSpace) return
    this.#installed = await this.#describe(installed.record)
    if (installed.previousContents.size > 0) {
      this.#deps.log.warn('previous release removed to make room for the next one', { releaseId: previous })
    }
  }

  async #fetchAll({ fetches }: Plan, pass: SyncPass): Promise<void> {
    for (const { object } of fetches) {
      const wrong = this.#wrong.get(object.key)
      if (wrong !== undefined && wrong.etag === object.etag) throw wrong.error
    }
    if (fetches.length === 0) return
    this.#phase = 'downloading'
    const totalBytes = fetches.reduce((sum, { object }) => sum + object.sizeBytes, 0)
    this.#progress = { files: 0, totalFiles: fetches.length, bytes: 0, totalBytes }
    try {
      await forEachConcurrent(fetches, this.#deps.concurrency, (wanted) => this.#fetch(wanted, pass))
    } finally {
      await pass.index.save()
    }
    this.#wrong.clear()
  }

  async #fetch(wanted: WantedFile, { index, signal, beat }: SyncPass): Promise<void> {
    const { object, executable } = wanted
    const onBytes = (bytes: number): void => {
      this.#count(0, bytes)
      beat()
    }
    try {
      const { source, idleTimeoutMs } = this.#deps
      const incoming = this.#tree.incoming
      const options = { source, incoming, signal, idleTimeoutMs, onBytes }
      const { file, sha256, etag } = await downloadObject(wanted, options)
      // in this order, so that a crash in between cannot leave stored content of which nobody knows whose it is
      await index.remember({ ...object, etag }, sha256)
      await this.#store.add(file, { sha256, executable })
    } catch (error) {
      if (error instanceof WrongContentError) this.#wrong.set(object.key, { etag: object.etag, error })
      throw error
    }
    this.#count(1, 0)
    beat()
    this.#deps.log.debug('object fetched', { key: object.key, bytes: object.sizeBytes })
  }

  #count(files: number, bytes: number): void {
    this.#fetchedFiles += files
    this.#fetchedBytes += bytes
    const progress = this.#progress
    if (progress === undefined) return
    this.#progress = { ...progress, files: progress.files + files, bytes: progress.bytes + bytes }
  }

  async #install(release: Release, { signal, beat }: SyncPass): Promise<void> {
    signal.throwIfAborted()
    this.#phase = 'switching'
    this.#progress = undefined
    const record = await this.#tree.install(release, this.#store, signal)
    beat()
    this.#installed = await this.#describe(record)
    const { bytes } = this.#installed
    this.#deps.log.info('release installed', { releaseId: release.releaseId, files: release.files.length, bytes })
  }

  /** Removes what neither the installed release nor the one before it needs. */
  async #collect(listed: readonly SourceObject[], index: ArtifactIndex): Promise<void> {
    if (this.#installed === undefined) return
    const { record, contents, previousContents } = this.#installed
    await this.#tree.collect([record.releaseId, record.previous])
    await this.#store.collect((key) => contents.has(key) || previousContents.has(key))
    index.prune(listed, (sha256) => {
      const key = contentKey({ sha256, executable: false })
      return previousContents.has(key) && !contents.has(key)
    })
    await index.save()
  }
}

/** A mistyped prefix looks like this too, and must not take a working model from a fleet. */
function emptied(): AgentError {
  return new AgentError('the access point holds nothing there any more; the installed release stays', {
    hint: 'check accessPoint and prefix in the configuration; to give an artifact up, take it out of the configuration',
  })
}
