import { AgentError } from '../../lib/errors.ts'

/** A key that cannot become a file of a release. The message names it. */
export class RefusedKeyError extends AgentError {
  override readonly name = 'RefusedKeyError'

  constructor(key: string, why: string) {
    super(`${JSON.stringify(key)} cannot be a file of a release: ${why}`, {
      hint: 'rename or remove the object in the bucket; the installed release stays until then',
    })
  }
}

/** Where an object wants to go, and the name that an operator knows it by. */
export interface KeyedPath {
  readonly key: string
  readonly path: string
}

/** The longest name that Linux file systems hold, in bytes. */
const maxSegmentBytes = 255
/** A key of S3 has no more; with the folders above, it stays below Linux's PATH_MAX of 4096. */
const maxPathBytes = 1024

/**
 * Checks that every object can be a file of its own below one folder, whichever file system that is on. Throws a
 * RefusedKeyError for the first that would leave the folder, is no valid name, or stands where another one needs a file
 * or a folder; names that differ in case or in Unicode form only stand in the same place.
 */
export function checkPaths(objects: readonly KeyedPath[]): void {
  for (const { key, path } of objects) checkPath(key, path)
  checkPlaces(objects)
}

/** The folders above a path, outermost first: `a/b/c` gives `a`, `a/b`. */
export function foldersOf(path: string): readonly string[] {
  const segments = path.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

/** Throws a RefusedKeyError when the path by itself cannot be one of a release. */
function checkPath(key: string, path: string): void {
  const why = faultOf(path) ?? path.split('/').map(faultOfSegment).find(isFault)
  if (why !== undefined) throw new RefusedKeyError(key, why)
}

function faultOf(path: string): string | undefined {
  if (path.includes('\0')) return 'it holds a NUL'
  if (!path.isWellFormed()) return 'it is not valid Unicode'
  if (/\p{Cc}|\u2028|\u2029/u.test(path)) return 'it holds a control character'
  if (path.includes('\\')) return 'it holds a backslash'
  if (path.startsWith('/')) return 'it is absolute'
  return Buffer.byteLength(path) > maxPathBytes ? `it is longer than ${maxPathBytes} bytes` : undefined
}

function faultOfSegment(segment: string): string | undefined {
  if (segment === '') return 'it has an empty path segment'
  if (segment === '.' || segment === '..') return `it has the path segment "${segment}"`
  const isTooLong = Buffer.byteLength(segment) > maxSegmentBytes
  return isTooLong ? `a path segment is longer than ${maxSegmentBytes} bytes` : undefined
}

function isFault(fault: string | undefined): fault is string {
  return fault !== undefined
}

interface Place extends KeyedPath {
  /** As what stands there is spelled. */
  readonly spelling: string
  readonly isFile: boolean
}

function checkPlaces(objects: readonly KeyedPath[]): void {
  const places = new Map<string, Place>()
  for (const { key, path } of objects) {
    for (const folder of foldersOf(path)) take(places, { key, path, spelling: folder, isFile: false })
    take(places, { key, path, spelling: path, isFile: true })
  }
}

function take(places: Map<string, Place>, place: Place): void {
  const folded = foldPath(place.spelling)
  const other = places.get(folded)
  if (other === undefined) {
    places.set(folded, place)
    return
  }
  const name = JSON.stringify(other.key)
  if (other.spelling !== place.spelling) {
    throw new RefusedKeyError(place.key, `${name} has a path that differs in case or Unicode form only`)
  }
  if (other.isFile && place.isFile) throw new RefusedKeyError(place.key, `${name} has the same path`)
  if (other.isFile) throw new RefusedKeyError(other.key, `${JSON.stringify(place.key)} needs a folder of that name`)
  if (place.isFile) throw new RefusedKeyError(place.key, `${name} needs a folder of that name`)
}

/**
 * Equal for names that one file system or another takes for the same: Unicode's compatibility caseless match (The Unicode
 * Standard, section 3.13, D146), with upper case then lower case in place of full case folding.
 */
function foldPath(path: string): string {
  return isPlain(path)
    ? path.toLowerCase()
    : caseFold(caseFold(path.normalize('NFD')).normalize('NFKD')).normalize('NFKD')
}

function caseFold(text: string): string {
  return text.toUpperCase().toLowerCase()
}

function isPlain(path: string): boolean {
  return /^[\x20-\x7e]*$/.test(path)
}
