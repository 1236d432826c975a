import type { FileHandle } from 'node:fs/promises'

export interface BlockWriterOptions {
  readonly position: number
  /** How many bytes will come. */
  readonly sizeBytes: number
  /** How many of them may be in memory. */
  readonly blockBytes: number
  /** Gets each block before it is written; the bytes are good until it returns. */
  readonly onBlock: (block: Uint8Array, position: number) => void
}

/** Collects chunks in one buffer and writes them in blocks, so that many small ones cost one hash and one write. */
export class BlockWriter {
  readonly #data: FileHandle
  readonly #onBlock: BlockWriterOptions['onBlock']
  readonly #blockBytes: number
  /** Not there before the first chunk, so that who waits for a connection holds no memory. */
  #buffer: Buffer | undefined
  #position: number
  #heldBytes = 0

  constructor(data: FileHandle, { position, sizeBytes, blockBytes, onBlock }: BlockWriterOptions) {
    this.#data = data
    this.#position = position
    this.#onBlock = onBlock
    this.#blockBytes = Math.min(blockBytes, sizeBytes)
  }

  async write(chunk: Uint8Array): Promise<void> {
    const buffer = (this.#buffer ??= Buffer.allocUnsafe(this.#blockBytes))
    for (let offset = 0; offset < chunk.byteLength;) {
      const piece = chunk.subarray(offset, offset + buffer.byteLength - this.#heldBytes)
      buffer.set(piece, this.#heldBytes)
      this.#heldBytes += piece.byteLength
      offset += piece.byteLength
      if (this.#heldBytes === buffer.byteLength) await this.flush()
    }
  }

  async flush(): Promise<void> {
    if (this.#buffer === undefined || this.#heldBytes === 0) return
    const block = this.#buffer.subarray(0, this.#heldBytes)
    this.#onBlock(block, this.#position)
    // a file system may write less than it was given
    for (let written = 0; written < block.byteLength;) {
      const rest = block.byteLength - written
      written += (await this.#data.write(block, written, rest, this.#position + written)).bytesWritten
    }
    this.#position += block.byteLength
    this.#heldBytes = 0
  }
}
