import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'

import type { ByteRange, RunningChecksum } from '../artifact-source.ts'

const blockBytes = 1024 * 1024

export interface OrderedHashOptions {
  /** Called for each block that is read back. */
  readonly onProgress: () => void
  /** Gets the same bytes in the same order. */
  readonly checksum?: Pick<RunningChecksum, 'update'> | undefined
}

/**
 * The sha256 of a file that is written in parts, and a checksum beside it: bytes that come in order are hashed as they come,
 * others are read back when it is their turn, as a rule from the page cache.
 */
export class OrderedHash {
  readonly #hash = createHash('sha256')
  readonly #data: FileHandle
  readonly #options: OrderedHashOptions
  readonly #written = new Map<number, number>()
  #offset = 0
  #catchingUp: Promise<void> | undefined

  constructor(data: FileHandle, options: OrderedHashOptions) {
    this.#data = data
    this.#options = options
  }

  /** Bytes of the file at `position`, which came and are about to be written. Hashes them if it is their turn. */
  update(bytes: Uint8Array, position: number): void {
    if (position === this.#offset) this.#append(bytes)
  }

  /** Says that a range is written. Failures show in `digest`. */
  written({ start, end }: ByteRange): void {
    this.#written.set(start, end)
    this.#catchingUp ??= this.#catchUp().finally(() => {
      this.#catchingUp = undefined
    })
    this.#catchingUp.catch(() => undefined)
  }

  /** Lower-case hex, once every range up to the end was said to be written. */
  async digest(): Promise<string> {
    await this.#catchingUp
    await this.#catchUp()
    return this.#hash.digest('hex')
  }

  async #catchUp(): Promise<void> {
    for (let range = this.#next(); range !== undefined; range = this.#next()) {
      for await (const block of readBlocks(this.#data, { start: this.#offset, end: range.end })) {
        this.#append(block)
        this.#options.onProgress()
      }
    }
  }

  #append(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    this.#options.checksum?.update(bytes)
    this.#offset += bytes.byteLength
  }

  /** The written range in which the hash has stopped; forgets those before it. */
  #next(): ByteRange | undefined {
    for (const [start, end] of this.#written) {
      if (end <= this.#offset) this.#written.delete(start)
      else if (start <= this.#offset) return { start, end }
    }
    return undefined
  }
}

/** The bytes of a range of a file, in blocks that are good until the next one is asked for; fewer when it is shorter. */
export async function* readBlocks(data: FileHandle, { start, end }: ByteRange): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(Math.min(blockBytes, end - start))
  for (let position = start; position < end;) {
    const length = Math.min(buffer.byteLength, end - position)
    const { bytesRead } = await data.read(buffer, 0, length, position)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
    position += bytesRead
  }
}
