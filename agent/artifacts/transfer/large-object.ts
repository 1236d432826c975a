import { createHash } from 'node:crypto'

import { forEachConcurrent } from '../../lib/for-each-concurrent.ts'
import type { Log } from '../../lib/log.ts'
import { modeOf } from '../artifact-plan.ts'
import { ObjectChangedError, type ByteRange, type ObjectVersion } from '../artifact-source.ts'
import { BlockWriter } from './block-writer.ts'
import { checkHeld, type HeldChecksums } from './held-checksums.ts'
import { requestObject, type ObjectRequestDeps } from './object-request.ts'
import { OrderedHash, readBlocks } from './ordered-hash.ts'
import { planParts } from './part-plan.ts'
import { PartialFile } from './partial-file.ts'
import { checkPromise, WrongContentError, type ReceivedObject } from './received-object.ts'
import type { FetchPass } from './small-object.ts'
import type { WantedFile } from '../release/wanted-release.ts'

export interface LargeObjectDeps extends ObjectRequestDeps {
  /** Where partials are. */
  readonly partials: string
  readonly partBytes: number
  readonly checksums: HeldChecksums
  readonly log: Log
}

export interface LargeFetchPass extends FetchPass {
  /** Bytes that need not be fetched, because an earlier try brought them. */
  readonly onResumed: (bytes: number) => void
  /** Called before each part of so many bytes; what it throws ends the fetch. */
  readonly beforePart: (bytes: number) => Promise<void>
}

const partsAtATime = 8

interface Fetching {
  readonly deps: LargeObjectDeps
  readonly pass: LargeFetchPass
  /** In the one version that all parts are of. */
  readonly object: ObjectVersion
  readonly partial: PartialFile
  readonly hash: OrderedHash
}

/**
 * Fetches an object in parts, side by side, and goes on where an earlier try ended, in this process or in another one:
 * a part that was recorded and reads back as it was is not fetched again. Where nothing else promises the content, it has to
 * be what the source holds a checksum of. What is thrown leaves the partial for the next try, but an ObjectChangedError and
 * a WrongContentError remove it.
 */
export async function fetchLargeObject(
  wanted: WantedFile,
  deps: LargeObjectDeps,
  pass: LargeFetchPass,
): Promise<ReceivedObject> {
  await using partial = (await PartialFile.resume(deps.partials, wanted)) ?? (await begin(wanted, deps, pass))
  try {
    const { etag } = partial.header
    const object: ObjectVersion = { ...wanted.object, ...(etag === undefined ? {} : { etag }) }
    const held = wanted.promised === undefined ? await deps.checksums.of(object, pass) : undefined
    const hash = new OrderedHash(partial.data, { onProgress: pass.beat, checksum: held?.running })
    await fetchParts({ deps, pass, object, partial, hash })
    const sha256 = await hash.digest()
    checkPromise(wanted, sha256, etag)
    if (held !== undefined) await checkHeld(object, held, sha256)
    await partial.finish(modeOf(wanted))
    return { wanted, file: partial.path, sha256, etag: etag ?? '', onStored: () => partial.forget() }
  } catch (error) {
    if (error instanceof ObjectChangedError || error instanceof WrongContentError) await partial.drop()
    throw error
  }
}

async function begin(wanted: WantedFile, deps: LargeObjectDeps, pass: LargeFetchPass): Promise<PartialFile> {
  const { object, promised } = wanted
  const { key, versionId, sizeBytes } = object
  const etag = object.etag ?? (versionId === undefined ? await learnEtag(object, deps, pass) : undefined)
  return await PartialFile.begin(deps.partials, wanted, {
    version: 1,
    key,
    sizeBytes,
    partBytes: deps.partBytes,
    ...(etag === undefined ? {} : { etag }),
    ...(versionId === undefined ? {} : { versionId }),
    ...(promised === undefined ? {} : { promised }),
  })
}

/** Asks with one byte which version of an object is there; all parts have to be of one. The object has a byte. */
export async function learnEtag(object: ObjectVersion, deps: ObjectRequestDeps, pass: FetchPass): Promise<string> {
  let etag = ''
  await requestObject(deps, {
    ...pass,
    object,
    range: { start: 0, end: 1 },
    onEtag: (seen) => {
      etag = seen
    },
    onChunk: () => undefined,
  })
  return etag
}

async function fetchParts(fetching: Fetching): Promise<void> {
  const { deps, partial, object, pass } = fetching
  const parts = planParts(object.sizeBytes, partial.header.partBytes)
  const missing: { readonly index: number; readonly range: ByteRange }[] = []
  for (const [index, range] of parts.entries()) {
    if (await isVerified(fetching, index, range)) pass.onResumed(range.end - range.start)
    else missing.push({ index, range })
  }
  await forEachConcurrent(missing, partsAtATime, async ({ index, range }) => {
    using _ = await deps.lane.hold(range.end - range.start, pass.signal)
    await pass.beforePart(range.end - range.start)
    await fetchPart(fetching, index, range)
  })
  await partial.settle()
}

/** Whether a part was recorded and is on disk as it was then. */
async function isVerified(
  { partial, hash, pass, deps, object }: Fetching,
  index: number,
  range: ByteRange,
): Promise<boolean> {
  const recorded = partial.recorded.get(index)
  if (recorded === undefined) return false
  const found = createHash('sha256')
  for await (const block of readBlocks(partial.data, range)) {
    pass.signal.throwIfAborted()
    found.update(block)
    pass.beat()
  }
  const isSame = found.digest('hex') === recorded
  if (isSame) hash.written(range)
  else deps.log.warn('a part that was fetched before is damaged and fetched again', { key: object.key, part: index })
  return isSame
}

async function fetchPart(
  { deps, pass, object, partial, hash }: Fetching,
  index: number,
  range: ByteRange,
): Promise<void> {
  const partHash = createHash('sha256')
  const writer = new BlockWriter(partial.data, {
    position: range.start,
    sizeBytes: range.end - range.start,
    blockBytes: deps.lane.blockBytes,
    onBlock: (block, position) => {
      partHash.update(block)
      hash.update(block, position)
    },
  })
  await requestObject(deps, {
    ...pass,
    object,
    range,
    onEtag: () => undefined,
    onChunk: (chunk) => writer.write(chunk),
  })
  await writer.flush()
  hash.written(range)
  await partial.record(index, partHash.digest('hex'))
}
