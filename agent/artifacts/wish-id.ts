import { createHash } from 'node:crypto'

import type { WantedFile } from './wanted-release.ts'

/**
 * Identifies what a source wishes: changes whenever any file of it does, also when the content turns out to be the
 * same. The order of the files does not matter.
 */
export function wishIdOf(files: readonly WantedFile[]): string {
  const lines = files.map(({ path, object, promised, executable }) =>
    JSON.stringify([path, object.key, object.etag, object.versionId, object.sizeBytes, promised, executable]),
  )
  const hash = createHash('sha256')
  for (const line of lines.sort()) hash.update(`${line}\n`)
  return hash.digest('hex')
}
