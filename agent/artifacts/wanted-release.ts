import type { ObjectVersion, SourceObject } from './artifact-source.ts'

/** A file that a release is to have. */
export interface WantedFile {
  /** Relative, with `/`. Not checked, may be hostile. */
  readonly path: string
  /** Where its content is to be had. */
  readonly object: ObjectVersion
  /** The sha256 that a manifest or the object's own name promises, in lower-case hex; content that has another is refused. */
  readonly promised: string | undefined
  readonly executable: boolean
}

/** What the source wants an artifact to be. */
export interface WantedRelease {
  readonly files: readonly WantedFile[]
}

/**
 * What a listing says: every object is a file, folder markers (keys that end in `/`) aside. S3 keeps no permissions, so
 * nothing is executable.
 */
export function wantedFromListing(objects: readonly SourceObject[]): readonly WantedFile[] {
  return objects
    .filter(({ key }) => !key.endsWith('/'))
    .map((object) => ({ path: object.path, object, promised: sha256InName(object.path), executable: false }))
}

/** Panorama names its assets by their content: `binaries/<sha256>.tar.gz`. */
function sha256InName(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return /^([0-9a-f]{64})(\.|$)/.exec(name)?.[1]
}
