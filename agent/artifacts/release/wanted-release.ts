import { createHash } from 'node:crypto'

import type { ObjectVersion, SourceObject } from '../artifact-source.ts'

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

/** What a manifest says of itself. */
export interface ManifestLabel {
  readonly sequence: number
  readonly version: string
  readonly createdAt: string
  /** Whether its signature was checked. */
  readonly verified: boolean
}

/** What the source wants an artifact to be. */
export interface WantedRelease {
  /** Changes whenever the wish does: the sha256 of a manifest's payload, or of the listing. */
  readonly wishId: string
  /** Where the wish comes from and whom it is believed; a wish of another origin is another wish. */
  readonly origin: string
  readonly files: readonly WantedFile[]
  /** Of the manifest that says so; undefined for a listing. */
  readonly etag?: string
  readonly manifest?: ManifestLabel
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

/** The `wishId` of a listing. */
export function listingId(objects: readonly SourceObject[]): string {
  const hash = createHash('sha256')
  for (const { path, etag, sizeBytes } of objects) hash.update(`${sizeBytes} ${etag}\0${path}\0`)
  return hash.digest('hex')
}

/** Panorama names its assets by their content: `binaries/<sha256>.tar.gz`. */
function sha256InName(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return /^([0-9a-f]{64})(\.|$)/.exec(name)?.[1]
}
