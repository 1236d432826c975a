import type { Readable } from 'node:stream'

import type { ObjectBody } from '../artifacts/artifact-source.ts'
import { AgentError } from '../lib/errors.ts'
import type { WholeChecksum } from './whole-checksum.ts'

export interface ObjectBodyOptions {
  /** For errors. */
  readonly resource: string
  readonly etag: string
  /** Ends the body. */
  readonly signal: AbortSignal
  readonly checksum?: WholeChecksum | undefined
}

/** What may wait for the reader before the stream is told to stop. A socket brings up to 64 KiB: with one it would stop at each. */
const maxWaitingBytes = 128 * 1024

/**
 * The body of an answer, chunk by chunk as they come, without the machinery of Readable's own iterator, which costs more
 * than a small object does.
 */
export class StreamedBody implements ObjectBody, AsyncIterator<Uint8Array, undefined> {
  readonly etag: string
  readonly #stream: Readable
  readonly #options: ObjectBodyOptions
  readonly #chunks: Uint8Array[] = []
  #waitingBytes = 0
  #hasEnded = false
  #isClosed = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(stream: Readable, options: ObjectBodyOptions) {
    this.etag = options.etag
    this.#stream = stream
    this.#options = options
    stream
      .on('data', (chunk: Uint8Array) => {
        this.#take(chunk)
      })
      .once('end', () => {
        this.#hasEnded = true
        this.#settle()
      })
      // the reader gets it; with nobody reading it must not end the process
      .on('error', (error) => {
        this.#error ??= error
        this.#settle()
      })
      .once('close', () => {
        this.#isClosed = true
        this.#settle()
      })
    options.signal.addEventListener('abort', this.#onAbort, { once: true })
    if (options.signal.aborted) this.#onAbort()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      this.#options.signal.throwIfAborted()
      const chunk = this.#stream.destroyed && !this.#hasEnded ? undefined : this.#chunks.shift()
      if (chunk !== undefined) return { done: false, value: this.#give(chunk) }
      if (this.#hasEnded) return await this.#end()
      if (this.#isClosed || this.#error !== undefined) throw this.#brokeOff(this.#error)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this[Symbol.asyncDispose]()
    return { done: true, value: undefined }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#onAbort)
    this.#stream.destroy()
    await Promise.resolve()
  }

  readonly #onAbort = (): void => {
    this.#stream.destroy()
  }

  #take(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#waitingBytes += chunk.byteLength
    if (this.#waitingBytes >= maxWaitingBytes) this.#stream.pause()
    this.#wake?.()
  }

  #give(chunk: Uint8Array): Uint8Array {
    this.#waitingBytes -= chunk.byteLength
    if (this.#stream.isPaused() && this.#waitingBytes < maxWaitingBytes) this.#stream.resume()
    this.#options.checksum?.update(chunk)
    return chunk
  }

  async #end(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      await this.#options.checksum?.check()
    } catch (error) {
      throw this.#brokeOff(error)
    }
    return { done: true, value: undefined }
  }

  #settle(): void {
    this.#options.signal.removeEventListener('abort', this.#onAbort)
    this.#wake?.()
  }

  #brokeOff(cause: unknown): unknown {
    const { signal, resource } = this.#options
    if (signal.aborted) return signal.reason
    return new AgentError(`the body of ${resource} broke off`, { retryable: true, cause })
  }
}
