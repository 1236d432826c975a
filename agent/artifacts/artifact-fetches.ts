import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import type { Log } from '../lib/log.ts'
import type { ArtifactIndex } from './artifact-index.ts'
import type { Plan } from './artifact-plan.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactProgress } from './artifact-status.ts'
import type { ContentStore } from './content-store.ts'
import { downloadObject, WrongContentError } from './download.ts'
import type { WantedFile } from './wanted-release.ts'

export interface ArtifactFetchesDeps {
  readonly source: ArtifactSource
  readonly store: ContentStore
  /** Where files in the making go. */
  readonly incoming: string
  readonly log: Log
  readonly concurrency: number
  readonly idleTimeoutMs: number
}

export interface SyncPass {
  readonly index: ArtifactIndex
  readonly signal: AbortSignal
  readonly beat: () => void
}

/** Brings what a plan asks for into the store, and knows how far that is. Calls of `fetchAll` must not overlap. */
export class ArtifactFetches {
  readonly #deps: ArtifactFetchesDeps
  /** What failed its checksum, so that the same bytes are not fetched at every pass. By key. */
  readonly #wrong = new Map<string, { readonly etag: string | undefined; readonly error: WrongContentError }>()
  #progress: ArtifactProgress | undefined
  #fetchedFiles = 0
  #fetchedBytes = 0

  constructor(deps: ArtifactFetchesDeps) {
    this.#deps = deps
  }

  /** While `fetchAll` runs. */
  get progress(): ArtifactProgress | undefined {
    return this.#progress
  }

  /** Since the start of the process, fetches that failed included in the bytes. */
  get totals(): { readonly fetchedFiles: number; readonly fetchedBytes: number } {
    return { fetchedFiles: this.#fetchedFiles, fetchedBytes: this.#fetchedBytes }
  }

  /**
   * Fetches everything in the plan. Throws the first failure, after what runs has ended; what was fetched by then stays
   * in the store, and the index knows it.
   */
  async fetchAll({ fetches }: Plan, pass: SyncPass): Promise<void> {
    for (const { object } of fetches) {
      const wrong = this.#wrong.get(object.key)
      if (wrong !== undefined && wrong.etag === object.etag) throw wrong.error
    }
    const totalBytes = fetches.reduce((sum, { object }) => sum + object.sizeBytes, 0)
    this.#progress = { files: 0, totalFiles: fetches.length, bytes: 0, totalBytes }
    try {
      await forEachConcurrent(fetches, this.#deps.concurrency, (wanted) => this.#fetch(wanted, pass))
    } finally {
      this.#progress = undefined
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
      const { source, idleTimeoutMs, incoming, store } = this.#deps
      const options = { source, incoming, signal, idleTimeoutMs, onBytes }
      const { file, sha256, etag } = await downloadObject(wanted, options)
      // in this order, so that a crash in between cannot leave stored content of which nobody knows whose it is
      await index.remember({ ...object, etag }, sha256)
      await store.add(file, { sha256, executable })
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
}
