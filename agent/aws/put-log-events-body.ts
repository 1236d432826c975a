import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

import type { LogEvent, LogTarget } from '../logs/log-destination.ts'

/** The body of a PutLogEvents request. */
export interface PutLogEventsBody {
  readonly bytes: Uint8Array
  /** As in Content-Encoding; undefined for a body as it is. */
  readonly encoding: 'gzip' | undefined
}

/** Below it, the headers and the round trip are what a request costs. */
const minCompressedBytes = 4_096
/** Above what a full batch becomes as a rule, so that one turn of zlib's thread does it. */
const chunkBytes = 262_144

/** Events that become JSON at once: what is made of more would outlive the young generation of the heap. */
const eventsPerPiece = 256
const openingBracket = 0x5b
const comma = 0x2c
/** `{"timestamp":1700000000000,"message":""},` */
const eventJsonBytes = 41

/**
 * The JSON that the SDK would make of the batch (AWS JSON 1.1), in a fraction of its time: the SDK walks along the schema
 * of each member of each event first.
 */
export function putLogEventsJson({ group, stream }: LogTarget, events: readonly LogEvent[]): Uint8Array {
  const head = JSON.stringify({ logGroupName: group, logStreamName: stream, logEvents: [] })
  const json = new GrowingText(likelyBytes(events) + head.length)
  json.append(head.slice(0, -1))
  let piece: { readonly timestamp: number; readonly message: string }[] = []
  for (const { timestampMs, message } of events) {
    piece.push({ timestamp: timestampMs, message })
    if (piece.length < eventsPerPiece) continue
    json.appendToArray(piece)
    piece = []
  }
  json.appendToArray(piece)
  json.append('}')
  return json.bytes
}

/**
 * Compresses a body at level 1, on a thread of its own, unless it is under 4 KiB or does not shrink. The API's model
 * does not speak of it; Amazon's CloudWatch agent sends the same (handlers/compress.go).
 */
export async function compressBody(bytes: Uint8Array): Promise<PutLogEventsBody> {
  const plain = { bytes, encoding: undefined }
  if (bytes.length < minCompressedBytes) return plain
  const compressed = await promisify(gzip)(bytes, { level: 1, chunkSize: chunkBytes })
  return compressed.length < bytes.length ? { bytes: compressed, encoding: 'gzip' } : plain
}

/** Right where all is ASCII and nothing is to be escaped; a little more, for what is. */
function likelyBytes(events: readonly LogEvent[]): number {
  let bytes = 0
  for (const { message } of events) bytes += message.length + eventJsonBytes
  return Math.ceil(bytes * 1.02) + 64
}

/** Text in UTF-8, as long as it becomes. */
class GrowingText {
  #buffer: Buffer
  #length = 0

  constructor(likelyBytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(likelyBytes)
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Adds items to the array of JSON that it ends with. */
  appendToArray(items: readonly object[]): void {
    if (items.length === 0) return
    const end = this.#length - 1
    const isEmpty = this.#buffer[end - 1] === openingBracket
    this.#length = isEmpty ? end - 1 : end
    this.append(JSON.stringify(items))
    if (!isEmpty) this.#buffer[end] = comma // in the place of the opening bracket
  }

  append(text: string): void {
    const length = this.#length + Buffer.byteLength(text)
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.ceil(length * 1.5))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    this.#length += this.#buffer.write(text, this.#length)
  }
}
