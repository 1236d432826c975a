import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

import type {
  ArtifactSource,
  HeldChecksum,
  NoChecksum,
  ObjectBody,
  ObjectVersion,
  OpenOptions,
  ReadSmallOptions,
  SmallObject,
  SourceObject,
} from '../../agent/artifacts/artifact-source.ts'
import { linkedAbort } from '../../agent/lib/abort.ts'
import { AgentError } from '../../agent/lib/errors.ts'

interface Stored {
  readonly content: Uint8Array
  readonly etag: string
}

/** Called before each chunk; may throw, wait, or change the source. The signal aborts when the body is disposed. */
export type BeforeChunk = (object: ObjectVersion, offset: number, signal: AbortSignal) => Promise<void> | void

/** An artifact source in memory that counts what it is asked for and misbehaves on request. */
export class FakeArtifactSource implements ArtifactSource {
  readonly prefix: string
  /** Keys, in the order in which they were opened with success. */
  readonly opened: string[] = []
  /** What was opened, in the same order. */
  readonly ranges: { readonly key: string; readonly start: number; readonly end: number }[] = []
  listings = 0
  smallReads = 0
  /** Keys, in the order in which their checksum was asked for. */
  readonly checksumReads: string[] = []
  openBodies = 0
  maxOpenBodies = 0
  chunkBytes = 1024
  beforeList: () => Promise<void> | void = () => undefined
  beforeOpen: (object: ObjectVersion) => Promise<void> | void = () => undefined
  beforeChunk: BeforeChunk = () => undefined
  /** What it holds to check an object by; a CRC32 of it unless something else is set. */
  checksumOf: (content: Uint8Array) => Promise<HeldChecksum | NoChecksum> | HeldChecksum | NoChecksum = heldCrc32
  readonly #objects = new Map<string, Stored>()

  constructor(prefix = '') {
    this.prefix = prefix
  }

  /** Without an etag of its own it gets that of its content, as on S3. */
  put(key: string, content: string | Uint8Array, etag?: string): void {
    const bytes = Buffer.from(content)
    const md5 = createHash('md5').update(bytes).digest('hex')
    this.#objects.set(key, { content: bytes, etag: etag ?? `"${md5}"` })
  }

  remove(key: string): void {
    this.#objects.delete(key)
  }

  async list(signal: AbortSignal): Promise<readonly SourceObject[]> {
    signal.throwIfAborted()
    this.listings += 1
    await this.beforeList()
    signal.throwIfAborted()
    return [...this.#objects]
      .filter(([key]) => key.startsWith(this.prefix))
      .map(([key, { content, etag }]) => ({
        key,
        path: key.slice(this.prefix.length),
        etag,
        sizeBytes: content.byteLength,
      }))
  }

  async open(object: ObjectVersion, { signal, range }: OpenOptions): Promise<ObjectBody | 'changed'> {
    signal.throwIfAborted()
    await this.beforeOpen(object)
    signal.throwIfAborted()
    const stored = this.#objects.get(object.key)
    if (stored === undefined || (object.etag !== undefined && stored.etag !== object.etag)) return 'changed'
    this.opened.push(object.key)
    this.ranges.push({ key: object.key, start: range?.start ?? 0, end: range?.end ?? stored.content.byteLength })
    this.openBodies += 1
    this.maxOpenBodies = Math.max(this.maxOpenBodies, this.openBodies)
    return this.#body(object, { ...stored, content: stored.content.subarray(range?.start, range?.end) }, signal)
  }

  async heldChecksum(object: ObjectVersion, signal: AbortSignal): Promise<HeldChecksum | NoChecksum | 'changed'> {
    signal.throwIfAborted()
    this.checksumReads.push(object.key)
    const stored = this.#objects.get(object.key)
    if (stored === undefined || (object.etag !== undefined && stored.etag !== object.etag)) return 'changed'
    return await this.checksumOf(stored.content)
  }

  async readSmall(
    path: string,
    { signal, etag, maxBytes }: ReadSmallOptions,
  ): Promise<SmallObject | 'unchanged' | 'absent'> {
    signal.throwIfAborted()
    this.smallReads += 1
    await this.beforeList()
    signal.throwIfAborted()
    const stored = this.#objects.get(`${this.prefix}${path}`)
    if (stored === undefined) return 'absent'
    if (stored.etag === etag) return 'unchanged'
    if (stored.content.byteLength > maxBytes) throw new AgentError(`more than ${maxBytes} bytes`)
    return { etag: stored.etag, bytes: stored.content }
  }

  #body(object: ObjectVersion, { content, etag }: Stored, signal: AbortSignal): ObjectBody {
    const link = linkedAbort(signal)
    const { controller } = link
    const { chunkBytes } = this
    const close = (): void => {
      if (!controller.signal.aborted) controller.abort(new Error('the body was disposed'))
      link[Symbol.dispose]()
    }
    let isOpen = true
    return {
      etag,
      [Symbol.asyncIterator]: () => this.#chunks(object, content, { chunkBytes, signal: controller.signal }),
      [Symbol.asyncDispose]: async () => {
        close()
        if (isOpen) this.openBodies -= 1
        isOpen = false
        await Promise.resolve()
      },
    }
  }

  async *#chunks(
    object: ObjectVersion,
    content: Uint8Array,
    { chunkBytes, signal }: { readonly chunkBytes: number; readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < content.byteLength; offset += chunkBytes) {
      await this.beforeChunk(object, offset, signal)
      signal.throwIfAborted()
      yield content.subarray(offset, offset + chunkBytes)
    }
    signal.throwIfAborted()
  }
}

/** The CRC32 of a content, as a source holds it. */
export function heldCrc32(content: Uint8Array): HeldChecksum {
  const inBase64 = (value: number): string => {
    const digest = Buffer.alloc(4)
    digest.writeUInt32BE(value)
    return digest.toString('base64')
  }
  const begin = (): ReturnType<HeldChecksum['begin']> => {
    let value = 0
    return {
      update(bytes) {
        value = crc32(bytes, value)
      },
      digest: () => Promise.resolve(inBase64(value)),
    }
  }
  return { kind: 'held', algorithm: 'CRC32', value: inBase64(crc32(content)), begin }
}

/** Waits until the signal aborts, and rejects with its reason: a body that falls silent. */
export async function silence(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener(
    'abort',
    () => {
      reject(signal.reason)
    },
    { once: true },
  )
  return await promise
}
