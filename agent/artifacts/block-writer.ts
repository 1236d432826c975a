import type { FileHandle } from 'node:fs/promises'

/** Collects chunks and writes them in blocks, so that many small ones cost one write. Holds at most about `blockBytes`. */
export class BlockWriter {
  readonly #data: FileHandle
  readonly #blockBytes: number
  #position: number
  #chunks: Uint8Array[] = []
  #heldBytes = 0

  constructor(data: FileHandle, { position, blockBytes }: { readonly position: number; readonly blockBytes: number }) {
    this.#data = data
    this.#position = position
    this.#blockBytes = blockBytes
  }

  /** The chunk must not change until it is written. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk)
    this.#heldBytes += chunk.byteLength
    if (this.#heldBytes >= this.#blockBytes) await this.flush()
  }

  async flush(): Promise<void> {
    const chunks = this.#chunks
    this.#chunks = []
    this.#heldBytes = 0
    await this.#writeAll(chunks)
  }

  async #writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    for (let rest = chunks; rest.length > 0;) {
      const { bytesWritten } = await this.#data.writev(rest, this.#position)
      this.#position += bytesWritten
      rest = without(rest, bytesWritten)
    }
  }
}

/** What is left after so many bytes; a file system may write less than it was given. */
function without(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes
  return chunks.flatMap((chunk) => {
    const skipped = Math.min(left, chunk.byteLength)
    left -= skipped
    return skipped === chunk.byteLength ? [] : [chunk.subarray(skipped)]
  })
}
