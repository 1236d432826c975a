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
  readonly #buffer: Buffer
  #position: number
  #heldBytes = 0

  constructor(data: FileHandle, { position, sizeBytes, blockBytes, onBlock }: BlockWriterOptions) {
    this.#data = data
    this.#position = position
    this.#onBlock = onBlock
    this.#buffer = Buffer.allocUnsafe(Math.min(blockBytes, sizeBytes))
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.byteLength;) {
      const piece = chunk.subarray(offset, offset + this.#buffer.byteLength - this.#heldBytes)
      this.#buffer.set(piece, this.#heldBytes)
      this.#heldBytes += piece.byteLength
      offset += piece.byteLength
      if (this.#heldBytes === this.#buffer.byteLength) await this.flush()
    }
  }

  async flush(): Promise<void> {
    const block = this.#buffer.subarray(0, this.#heldBytes)
    if (block.byteLength === 0) return
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
