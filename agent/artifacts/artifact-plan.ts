import { createHash } from 'node:crypto'

import { checkPaths } from './release/release-path.ts'
import type { WantedFile } from './release/wanted-release.ts'

/** What the store files content under: equal content with equal permissions is one file. */
export interface Content {
  /** Lower-case hex. */
  readonly sha256: string
  readonly executable: boolean
}

export interface ReleaseFile extends Content {
  /** Relative, with `/`; checked by `checkPaths`. */
  readonly path: string
  readonly sizeBytes: number
}

/** A complete set of files under a name that depends on nothing else. */
export interface Release {
  readonly releaseId: string
  /** Sorted by path. */
  readonly files: readonly ReleaseFile[]
}

export interface Plan {
  /** Each content whose sha256 is known beforehand once, however many files have it, and everything else. */
  readonly fetches: readonly WantedFile[]
  /** Content keys of all that the release is known beforehand to hold, stored or still to be fetched. */
  readonly contents: ReadonlySet<string>
  /** The release, once everything in `fetches` is there; `sha256Of` then answers for every file fetched. */
  readonly release: (sha256Of: (file: WantedFile) => string | undefined) => Release
}

export interface PlanInput {
  readonly files: readonly WantedFile[]
  /** The sha256 of a file whose object was fetched before in this very version. */
  readonly sha256Of: (file: WantedFile) => string | undefined
  readonly isStored: (content: Content) => boolean
}

/**
 * Says what has to be fetched for a release of `files`. No files make a release without files. Throws a RefusedKeyError
 * when they cannot be one tree.
 */
export function planRelease({ files, sha256Of, isStored }: PlanInput): Plan {
  checkPaths(files.map(({ path, object: { key } }) => ({ path, key })))
  const contents = new Set<string>()
  const fetches: WantedFile[] = []
  for (const file of files) {
    const sha256 = sha256Of(file) ?? file.promised
    const content = sha256 === undefined ? undefined : { sha256, executable: file.executable }
    const isPromised = content !== undefined && contents.has(contentKey(content))
    if (content !== undefined) contents.add(contentKey(content))
    if (isPromised || (content !== undefined && isStored(content))) continue
    fetches.push(file)
  }
  return { fetches, contents, release: (fetched) => releaseOf(files, fetched) }
}

/** The name of a store file: the sha256 and the permission bits, `<hex>-0444` or `<hex>-0555`. */
export function contentKey({ sha256, executable }: Content): string {
  return `${sha256}-0${modeOf({ executable }).toString(8)}`
}

/** Nobody writes to installed files, the agent included. */
export function modeOf({ executable }: Pick<Content, 'executable'>): number {
  return executable ? 0o555 : 0o444
}

function releaseOf(wanted: readonly WantedFile[], sha256Of: (file: WantedFile) => string | undefined): Release {
  const files = wanted.map((file): ReleaseFile => {
    const { path, object, executable } = file
    const sha256 = sha256Of(file) ?? file.promised
    if (sha256 === undefined) throw new Error(`nothing is known of ${JSON.stringify(object.key)}`)
    return { path, sizeBytes: object.sizeBytes, sha256, executable }
  })
  files.sort((left, right) => (left.path < right.path ? -1 : 1))
  return { releaseId: releaseIdOf(files), files }
}

/** The sha256 over the sorted lines `<content key> <path> NUL`; paths hold no NUL, so no two lists look the same. */
function releaseIdOf(files: readonly ReleaseFile[]): string {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${contentKey(file)} ${file.path}\0`)
  return hash.digest('hex')
}
