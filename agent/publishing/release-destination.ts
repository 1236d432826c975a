/** A manifest as it is in the bucket. */
export interface PublishedManifest {
  /** Of this version, for `replaceManifest`. */
  readonly etag: string
  readonly bytes: Uint8Array
}

/** A file whose content was looked at. */
export interface Upload {
  /** Where it is to be had, relative to the prefix. */
  readonly key: string
  /** Where it is on this machine. */
  readonly file: string
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/**
 * Where releases are published to: one prefix behind one access point. All methods reject with the signal's reason when
 * it aborts, settle in bounded time without it, and throw AgentErrors. Calls may run side by side.
 */
export interface ReleaseDestination {
  /** The manifest that is there, or `absent`. Throws an AgentError for one of more than `maxBytes`. */
  readManifest(maxBytes: number, signal: AbortSignal): Promise<PublishedManifest | 'absent'>
  /** The sizes of the objects below a folder of the prefix, by key. */
  sizesBelow(folder: string, signal: AbortSignal): Promise<ReadonlyMap<string, number>>
  /**
   * Uploads a file, in parts where it is large. Nothing appears under the key unless all of it arrived and has the
   * promised sha256; what was begun is aborted then. `onBytes` is told what arrived since it was told last.
   */
  upload(upload: Upload, options: UploadOptions): Promise<void>
  /**
   * Puts a manifest in place of the one with that etag, or where none is (undefined). Answers `changed`, and leaves what
   * is there, when somebody else was faster.
   */
  replaceManifest(bytes: Uint8Array, etag: string | undefined, signal: AbortSignal): Promise<'replaced' | 'changed'>
}

export interface UploadOptions {
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
}
