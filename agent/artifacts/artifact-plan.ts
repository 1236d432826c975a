import { createHash } from 'node:crypto'

import type { SourceObject } from './artifact-source.ts'
import { checkPaths } from './release-path.ts'

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

/** An object to fetch, with the sha256 that its name promises, if it does. */
export interface Fetch {
  readonly object: SourceObject
  readonly expectedSha256: string | undefined
}

export interface Plan {
  /** Each key once, and content whose sha256 is known beforehand once, however many objects hold it. */
  readonly fetches: readonly Fetch[]
  /** Content keys of all that the release is known beforehand to hold, stored or still to be fetched. */
  readonly contents: ReadonlySet<string>
  /** The release, once everything in `fetches` is there; `sha256Of` then answers for every object fetched. */
  readonly release: (sha256Of: (object: SourceObject) => string | undefined) => Release
}

export interface PlanInput {
  readonly objects: readonly SourceObject[]
  /** The sha256 of an object that was fetched before in this very version. */
  readonly sha256Of: (object: SourceObject) => string | undefined
  readonly isStored: (content: Content) => boolean
}

/**
 * Says what has to be fetched for a release of all `objects`, folder markers (keys that end in `/`) aside. No objects
 * make a release without files. Throws a RefusedKeyError when the objects cannot be one tree of files.
 */
export function planRelease({ objects, sha256Of, isStored }: PlanInput): Plan {
  const wanted = objects.filter(({ key }) => !key.endsWith('/'))
  checkPaths(wanted)
  const contents = new Set<string>()
  const fetches: Fetch[] = []
  for (const object of wanted) {
    const expectedSha256 = sha256InName(object.path)
    const sha256 = sha256Of(object) ?? expectedSha256
    const content = sha256 === undefined ? undefined : plain(sha256)
    const isPromised = content !== undefined && contents.has(contentKey(content))
    if (content !== undefined) contents.add(contentKey(content))
    if (isPromised || (content !== undefined && isStored(content))) continue
    fetches.push({ object, expectedSha256 })
  }
  return { fetches, contents, release: (fetched) => releaseOf(wanted, fetched) }
}

/** The name of a store file: the sha256 and the permission bits, `<hex>-0444` or `<hex>-0555`. */
export function contentKey({ sha256, executable }: Content): string {
  return `${sha256}-0${modeOf({ executable }).toString(8)}`
}

/** Nobody writes to installed files, the agent included. */
export function modeOf({ executable }: Pick<Content, 'executable'>): number {
  return executable ? 0o555 : 0o444
}

/** Panorama names its assets by their content: `binaries/<sha256>.tar.gz`. */
function sha256InName(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return /^([0-9a-f]{64})(\.|$)/.exec(name)?.[1]
}

function releaseOf(objects: readonly SourceObject[], sha256Of: (object: SourceObject) => string | undefined): Release {
  const files = objects.map((object): ReleaseFile => {
    const sha256 = sha256Of(object) ?? sha256InName(object.path)
    if (sha256 === undefined) throw new Error(`nothing is known of ${JSON.stringify(object.key)}`)
    return { path: object.path, sizeBytes: object.sizeBytes, ...plain(sha256) }
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

/** S3 keeps no permissions, so what comes from a plain prefix is never executable. */
function plain(sha256: string): Content {
  return { sha256, executable: false }
}
