import { AgentError } from '../../lib/errors.ts'
import type { Backoff } from '../../lib/backoff.ts'
import { ObjectChangedError, type ArtifactSource, type ByteRange, type ObjectVersion } from '../artifact-source.ts'
import { persist } from './persistent-request.ts'
import { readBody } from './read-body.ts'
import type { TransferLane, Waiting } from './transfers.ts'

export interface ObjectRequestDeps {
  readonly source: ArtifactSource
  readonly lane: TransferLane
  readonly backoff: Backoff
  readonly idleTimeoutMs: number
}

export interface ObjectRequest extends Waiting {
  readonly object: ObjectVersion
  /** Undefined: all of the object. */
  readonly range?: ByteRange
  readonly onBytes: (bytes: number) => void
  /** Called once per answer, before its bytes. */
  readonly onEtag: (etag: string) => void
  /** Gets the chunks in order. What it throws ends the request for good, unless it is retryable. */
  readonly onChunk: (chunk: Uint8Array) => Promise<void> | undefined
}

/** What a connection has to bring before it breaks off to count as getting on. */
const gainBytes = 256 * 1024

/**
 * Brings the bytes of an object, or of a range of it, in order and each once, over as many connections as it takes: one
 * that breaks off costs only what it had not brought. Throws an ObjectChangedError when the version is gone, an
 * AgentError when the bytes are fewer or more than they should be, and what the source or `onChunk` threw.
 */
export async function requestObject(deps: ObjectRequestDeps, request: ObjectRequest): Promise<void> {
  const { object, range = { start: 0, end: object.sizeBytes }, signal, beat } = request
  const progress = { position: range.start, before: range.start, pinned: object, isTooLong: false }
  const options = {
    transfers: deps.lane.transfers,
    backoff: deps.backoff,
    signal,
    beat,
    hasGained: () => progress.position - progress.before >= gainBytes,
    // what fails after the last byte is the source's own check of all of them
    mayTryAgain: () => !progress.isTooLong && (progress.position < range.end || range.end === range.start),
  }
  await persist(options, async () => {
    await readRest(deps, { ...request, range }, progress)
  })
  if (progress.position < range.end) throw tooShort(object, progress.position)
}

interface Progress {
  /** Everything before it has come. */
  position: number
  /** Where the last try began. */
  before: number
  /** The object in the version that the first answer was of. */
  pinned: ObjectVersion
  isTooLong: boolean
}

async function readRest(
  { source, lane, idleTimeoutMs }: ObjectRequestDeps,
  { object, range, signal, beat, ...on }: ObjectRequest & { readonly range: ByteRange },
  progress: Progress,
): Promise<void> {
  const start = progress.position
  progress.before = start
  const isWhole = start === 0 && range.end === object.sizeBytes
  using _ = await lane.enter(range.end - start, { signal, beat })
  const opened = await source.open(progress.pinned, {
    signal,
    ...(isWhole ? {} : { range: { start, end: range.end } }),
  })
  if (opened === 'changed') throw new ObjectChangedError(object.key)
  await using body = opened
  if (body.etag !== '') progress.pinned = { ...object, etag: body.etag }
  on.onEtag(body.etag)
  await readBody(body, { idleTimeoutMs, key: object.key }, async (chunk) => {
    on.onBytes(chunk.byteLength)
    progress.isTooLong = progress.position + chunk.byteLength > range.end
    if (progress.isTooLong) throw tooLong(object)
    await on.onChunk(chunk)
    progress.position += chunk.byteLength
    await lane.transfers.take(chunk.byteLength, { signal, beat })
  })
}

function tooShort({ key, sizeBytes }: ObjectVersion, position: number): AgentError {
  return new AgentError(`${JSON.stringify(key)} ended after ${position} of ${sizeBytes} bytes`, { retryable: true })
}

function tooLong({ key, sizeBytes }: ObjectVersion): AgentError {
  return new AgentError(`${JSON.stringify(key)} is longer than the ${sizeBytes} bytes that were listed`, {
    retryable: true,
  })
}
