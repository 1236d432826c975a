import { open } from 'node:fs/promises'

import { forEachConcurrent } from '../../lib/for-each-concurrent.ts'
import type { ArtifactIndex } from '../artifact-index.ts'
import type { ContentStore } from '../content-store.ts'
import type { ReceivedObject } from './received-object.ts'

export interface CommitQueueDeps {
  readonly store: ContentStore
  readonly index: ArtifactIndex
  /** Called before each batch of so many bytes; what it throws ends the queue. */
  readonly beforeBatch: (bytes: number) => Promise<void>
  /** Called after each batch. */
  readonly onCommitted: (objects: readonly ReceivedObject[]) => void
}

const maxFiles = 1024
const maxBytes = 16 * 1024 * 1024
const maxAgeMs = 1_000
/** More than the threads that do it would only hold memory. */
const syncsAtATime = 16

/**
 * Moves received objects into the store in batches: the files of a batch are synced side by side, and each folder once. A
 * batch is full with 1,024 files or 16 MiB, or after a second. What is neither durable nor in flight is therefore at most two
 * batches: the one that is committed and the one that is filled meanwhile. Failures show in every call after them.
 */
export class CommitQueue {
  readonly #deps: CommitQueueDeps
  #batch: ReceivedObject[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #committing: Promise<void> | undefined

  constructor(deps: CommitQueueDeps) {
    this.#deps = deps
  }

  /** Takes an object over; waits when more have come than can be made durable. */
  async add(object: ReceivedObject): Promise<void> {
    this.#batch.push(object)
    this.#bytes += object.wanted.object.sizeBytes
    this.#timer ??= setTimeout(() => {
      this.#start()
    }, maxAgeMs)
    if (this.#batch.length < maxFiles && this.#bytes < maxBytes) return
    await this.#committing
    this.#start()
  }

  /** Makes everything durable that was taken over. */
  async settle(): Promise<void> {
    await this.#committing
    this.#start()
    await this.#committing
    clearTimeout(this.#timer)
  }

  #start(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#committing !== undefined || this.#batch.length === 0) return
    this.#committing = this.#commitAll()
    this.#committing.catch(() => undefined) // whoever waits for it gets it
  }

  /** Also takes what became due meanwhile. A failure stays: nothing is committed after it. */
  async #commitAll(): Promise<void> {
    const batch = this.#batch
    const bytes = this.#bytes
    this.#batch = []
    this.#bytes = 0
    await this.#commit(batch, bytes)
    this.#committing = undefined
    if (this.#timer === undefined) this.#start()
  }

  async #commit(batch: readonly ReceivedObject[], bytes: number): Promise<void> {
    const { store, index, beforeBatch, onCommitted } = this.#deps
    await beforeBatch(bytes)
    await forEachConcurrent(batch, syncsAtATime, ({ file }) => syncFile(file))
    // in this order, so that a crash in between cannot leave stored content of which nobody knows whose it is
    await index.remember(batch.map(({ wanted: { object }, etag, sha256 }) => ({ ...object, etag, sha256 })))
    await store.add(
      batch.map(({ file, sha256, wanted: { executable } }) => ({ file, content: { sha256, executable } })),
    )
    for (const { onStored } of batch) await onStored?.()
    onCommitted(batch)
  }
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r')
  await file.sync()
}
