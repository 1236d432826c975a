import { createHash, randomUUID } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { modeOf } from './artifact-plan.ts'
import { BlockWriter } from './block-writer.ts'
import { requestObject, type ObjectRequestDeps } from './object-request.ts'
import { checkPromise, type ReceivedObject } from './received-object.ts'
import type { Waiting } from './transfers.ts'
import type { WantedFile } from './wanted-release.ts'

export interface SmallObjectDeps extends ObjectRequestDeps {
  /** Where temporary files go. */
  readonly incoming: string
}

export interface FetchPass extends Waiting {
  readonly onBytes: (bytes: number) => void
}

/**
 * Fetches one object into a file of its own, not synced yet. Throws what `requestObject` throws, a WrongContentError, or
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
  try {
    await using file = await open(path, 'wx', 0o600)
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
      },
      onChunk: (chunk) => writer.write(chunk),
    })
    await writer.flush()
    const sha256 = hash.digest('hex')
    checkPromise(wanted, sha256, etag)
    await file.chmod(modeOf(wanted))
    return { wanted, file: path, sha256, etag }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}
