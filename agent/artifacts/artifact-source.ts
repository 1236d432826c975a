import { AgentError } from '../lib/errors.ts'

/** One object in one version. */
export interface ObjectVersion {
  readonly key: string
  /** Changes when the content does; opaque, it is no checksum. Undefined where nobody has seen it yet. */
  readonly etag?: string
  /** In a versioned bucket: this very version, which stays readable when the object is replaced. */
  readonly versionId?: string
  readonly sizeBytes: number
}

/** An object as the listing showed it. */
export interface SourceObject extends ObjectVersion {
  /** What follows the prefix in `key`: where the object wants to go in the release. Not checked, may be hostile. */
  readonly path: string
  readonly etag: string
}

/** Bytes of an object: from `start` up to, but without, `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** One small object, read whole, in the version that `etag` names. */
export interface SmallObject {
  readonly etag: string
  readonly bytes: Uint8Array
}

/**
 * The bytes of one object or of a range of it, read once. Reading throws a retryable AgentError when the transfer
 * breaks off or the source finds its own checksum wrong. Disposing frees the connection at any point, also while a
 * read is pending, which then fails; the reader disposes whether it reached the end or not.
 */
export interface ObjectBody extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Of the version that the bytes are of: what a later part of the same object must be asked for with. */
  readonly etag: string
}

/** A checksum in the making. */
export interface RunningChecksum {
  /** The next bytes, in order; they are good until it returns. */
  update(bytes: Uint8Array): void
  /** In base64. To be called once, after the last byte. */
  digest(): Promise<string>
}

/** A checksum that a source has kept of all the bytes of an object since they were put there. */
export interface HeldChecksum {
  readonly kind: 'held'
  /** In S3's words: SHA256, CRC64NVME. */
  readonly algorithm: string
  /** In base64. */
  readonly value: string
  /** Begins to compute the same of the bytes that came. */
  readonly begin: () => RunningChecksum
}

/** Why there is nothing to check an object by. */
export type NoChecksum =
  /** There is none, or none that can be computed of the bytes alone. */
  | { readonly kind: 'none'; readonly why: string }
  /** The source does not say, although it gives the bytes. */
  | { readonly kind: 'refused'; readonly error: AgentError }

/**
 * Where the files of one artifact come from. Nothing here changes the source, so every call may be repeated, and
 * calls may run side by side. All methods reject with the signal's reason when it aborts, settle in bounded time
 * without it, and throw AgentErrors that say whether another try can help, and when, if the source said so.
 */
export interface ArtifactSource {
  /**
   * Everything below the prefix, folder markers included. Resolves only with the complete listing: an empty answer
   * means that the source really holds nothing.
   */
  list(signal: AbortSignal): Promise<readonly SourceObject[]>
  /**
   * The content of `object`, or of `range` of it, in the version that its etag or versionId names, or `changed` when
   * that was replaced or removed since. The signal ends the body too, until the body is disposed. A range has at least
   * one byte and lies inside the object.
   */
  open(object: ObjectVersion, options: OpenOptions): Promise<ObjectBody | 'changed'>
  /**
   * What the source holds to check the whole of `object` by, in the version that its etag or versionId names, or `changed`
   * when that was replaced or removed since. `open` of a whole object checks that by itself; ranges have no checksum.
   * Throws as `open` does, but for a source that only refuses to tell.
   */
  heldChecksum(object: ObjectVersion, signal: AbortSignal): Promise<HeldChecksum | NoChecksum | 'changed'>
  /**
   * One small object, unless it is still the version that `etag` names: `unchanged` then, `absent` when there is none.
   * Throws an AgentError that is not retryable when it has more than `maxBytes`.
   */
  readSmall(path: string, options: ReadSmallOptions): Promise<SmallObject | 'unchanged' | 'absent'>
}

export interface OpenOptions {
  readonly signal: AbortSignal
  /** Default: all of it. */
  readonly range?: ByteRange
}

export interface ReadSmallOptions {
  readonly signal: AbortSignal
  readonly etag?: string | undefined
  readonly maxBytes: number
}

/** An object was replaced or removed after it was listed; the next listing tells what is there now. */
export class ObjectChangedError extends AgentError {
  override readonly name = 'ObjectChangedError'

  constructor(key: string) {
    super(`${JSON.stringify(key)} was replaced or removed while it was synced`, { retryable: true })
  }
}
