import { AgentError } from '../lib/errors.ts'

/** An object as the listing showed it. */
export interface SourceObject {
  readonly key: string
  /** What follows the prefix in `key`: where the object wants to go in the release. Not checked, may be hostile. */
  readonly path: string
  /** Changes when the content does; opaque, it is no checksum. */
  readonly etag: string
  readonly sizeBytes: number
}

/**
 * The bytes of one object, read once. Reading throws a retryable AgentError when the transfer breaks off or the
 * source finds its own checksum wrong. Disposing frees the connection at any point, also while a read is pending,
 * which then fails; the reader disposes whether it reached the end or not.
 */
export type ObjectBody = AsyncIterable<Uint8Array> & AsyncDisposable

/**
 * Where the files of one artifact come from. Nothing here changes the source, so every call may be repeated, and
 * calls may run side by side. Both methods reject with the signal's reason when it aborts, settle in bounded time
 * without it, and throw AgentErrors that say whether another try can help.
 */
export interface ArtifactSource {
  /**
   * Everything below the prefix, folder markers included. Resolves only with the complete listing: an empty answer
   * means that the source really holds nothing.
   */
  list(signal: AbortSignal): Promise<readonly SourceObject[]>
  /**
   * The content of `object` as it was listed, or `changed` when it was replaced or removed since. The signal ends the
   * body too, until the body is disposed.
   */
  open(object: SourceObject, signal: AbortSignal): Promise<ObjectBody | 'changed'>
}

/** An object was replaced or removed after it was listed; the next listing tells what is there now. */
export class ObjectChangedError extends AgentError {
  override readonly name = 'ObjectChangedError'

  constructor(key: string) {
    super(`${JSON.stringify(key)} was replaced or removed while it was synced`, { retryable: true })
  }
}
