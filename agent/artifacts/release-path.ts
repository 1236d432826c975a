import { AgentError } from '../lib/errors.ts'
import type { SourceObject } from './artifact-source.ts'

/** A key that cannot become a file of a release. The message names it. */
export class RefusedKeyError extends AgentError {
  override readonly name = 'RefusedKeyError'

  constructor(key: string, why: string) {
    super(`${JSON.stringify(key)} cannot be a file of a release: ${why}`, {
      hint: 'rename or remove the object in the bucket; the installed release stays until then',
    })
  }
}

/** The longest name that Linux file systems hold, in bytes. */
const maxSegmentBytes = 255

/**
 * Checks that every object can be a file of its own below one folder. Throws a RefusedKeyError for the first that
 * would leave the folder, is no valid name, or stands where another one needs a file or a folder.
 */
export function checkPaths(objects: readonly Pick<SourceObject, 'key' | 'path'>[]): void {
  const keys = new Map<string, string>()
  for (const { key, path } of objects) {
    checkSegments(key, path)
    const other = keys.get(path)
    if (other !== undefined) throw new RefusedKeyError(key, `${JSON.stringify(other)} has the same path`)
    keys.set(path, key)
  }
  for (const { key, path } of objects) {
    for (const folder of foldersOf(path)) {
      const file = keys.get(folder)
      if (file !== undefined) throw new RefusedKeyError(file, `${JSON.stringify(key)} needs a folder of that name`)
    }
  }
}

/** The folders above a path, outermost first: `a/b/c` gives `a`, `a/b`. */
export function foldersOf(path: string): readonly string[] {
  const segments = path.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

function checkSegments(key: string, path: string): void {
  if (path.includes('\0')) throw new RefusedKeyError(key, 'it holds a NUL')
  if (!path.isWellFormed()) throw new RefusedKeyError(key, 'it is not valid Unicode')
  for (const segment of path.split('/')) {
    if (segment === '') throw new RefusedKeyError(key, 'it has an empty path segment')
    if (segment === '.' || segment === '..') throw new RefusedKeyError(key, `it has the path segment "${segment}"`)
    if (Buffer.byteLength(segment) > maxSegmentBytes) {
      throw new RefusedKeyError(key, `a path segment is longer than ${maxSegmentBytes} bytes`)
    }
  }
}
