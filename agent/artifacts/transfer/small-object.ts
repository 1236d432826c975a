import { createHash, randomUUID } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { modeOf } from '../artifact-plan.ts'
import { BlockWriter } from './block-writer.ts'
import { checkHeld, type HeldChecksums } from './held-checksums.ts'
import { requestObject, type ObjectRequestDeps } from './object-request.ts'
import { readBlocks } from './ordered-hash.ts'
import { checkPromise, type ReceivedObject } from './received-object.ts'
import type { Waiting } from './transfers.ts'
import type { WantedFile } from '../release/wanted-release.ts'

export interface SmallObjectDeps extends ObjectRequestDeps {
  /** Where temporary files go. */
  readonly incoming: string
  readonly checksums: HeldChecksums
}

export interface FetchPass extends Waiting {
  readonly onBytes: (bytes: number) => void
}

/**
 * Fetches one object into a file of its own, not synced yet. One that came over several connections was not checked by its
 * source, and has to be what that holds a checksum of where nothing else promises the content. Throws what `requestObject` throws, a WrongContentError, or
 * what the file system threw; no file is left then.
 */
export async function fetchSmallObject(
  wanted: WantedFile,
  deps: SmallObjectDeps,
  pass: FetchPass,
): Promise<ReceivedObject> {
  const path = join(deps.incoming, randomUUID())
  const hash = createHash('sha256')
  let etag = ''
  let answers = 0
  try {
    await using file = await open(path, 'wx+', 0o600)
    const writer = new BlockWriter(file, {
      position: 0,
      sizeBytes: wanted.object.sizeBytes,
      blockBytes: deps.lane.blockBytes,
      onBlock: (block) => {
        hash.update(block)
      },
    })
    await requestObject(deps, {
      object: wanted.object,
      ...pass,
      onEtag: (seen) => {
        etag = seen
        answers += 1
      },
      onChunk: (chunk) => writer.write(chunk),
    })
    await writer.flush()
    const sha256 = hash.digest('hex')
    checkPromise(wanted, sha256, etag)
    if (answers > 1 && wanted.promised === undefined) await checkPieced({ wanted, file, sha256, etag }, deps, pass)
    await file.chmod(modeOf(wanted))
    return { wanted, file: path, sha256, etag }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

interface Pieced {
  readonly wanted: WantedFile
  readonly file: FileHandle
  readonly sha256: string
  readonly etag: string
}

async function checkPieced(
  { wanted: { object }, file, sha256, etag }: Pieced,
  { checksums }: SmallObjectDeps,
  pass: FetchPass,
): Promise<void> {
  const version = etag === '' ? object : { ...object, etag }
  const held = await checksums.of(version, pass)
  if (held === undefined) return
  if (held.running !== undefined) {
    for await (const block of readBlocks(file, { start: 0, end: object.sizeBytes })) held.running.update(block)
  }
  await checkHeld(version, held, sha256)
}
