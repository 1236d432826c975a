import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

import type { EventColumns, LogEvent, LogEvents, LogTarget } from '../logs/log-destination.ts'
import { JsonBytes } from './json-bytes.ts'

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
/** `{"timestamp":1700000000000,"message":""},` */
const eventJsonBytes = 41

/** To write a body into: `bytes` is grown into other memory where it is too short. */
export type BodyMemory = (likelyBytes: number) => Buffer

/**
 * The JSON that the SDK would make of the batch (AWS JSON 1.1), in a fraction of its time: the SDK walks along the schema
 * of each member of each event first. Messages in slabs are copied from there.
 */
export function putLogEventsJson(
  { group, stream }: LogTarget,
  events: LogEvents,
  memory: BodyMemory = (likelyBytes) => Buffer.allocUnsafeSlow(likelyBytes),
): Buffer {
  const columns = events.columns ?? columnsOf([...events])
  const head = JSON.stringify({ logGroupName: group, logStreamName: stream, logEvents: [] })
  const json = new JsonBytes(memory(likelyBytes(columns) + head.length))
  json.append(head.slice(0, -1))
  let piece: { readonly timestamp: number; readonly message: string }[] = []
  for (let index = 0; index < columns.length; index += 1) {
    const slab = columns.slab(index)
    if (slab === undefined) piece.push({ timestamp: columns.timestampMs(index), message: columns.message(index) })
    if (piece.length === eventsPerPiece || (slab !== undefined && piece.length > 0)) {
      json.appendToArray(piece)
      piece = []
    }
    if (slab !== undefined) json.appendEvent(columns, index, slab)
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

function columnsOf(events: readonly LogEvent[]): EventColumns {
  const message = (index: number): string => events[index]?.message ?? ''
  return {
    length: events.length,
    timestampMs: (index) => events[index]?.timestampMs ?? 0,
    messageBytes: (index) => message(index).length,
    message,
    slab: () => undefined,
    slabStart: () => 0,
  }
}

/** Right where all is ASCII and nothing is to be escaped; a little more, for what is. */
function likelyBytes(events: EventColumns): number {
  let bytes = 0
  for (let index = 0; index < events.length; index += 1) bytes += events.messageBytes(index) + eventJsonBytes
  return Math.ceil(bytes * 1.02) + 64
}
