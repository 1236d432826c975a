import { AgentError, type AgentErrorOptions } from '../../lib/errors.ts'
import type { WantedFile } from '../release/wanted-release.ts'

/** An object whose bytes are all in a file, in the version that was wanted, with the content that was promised. */
export interface ReceivedObject {
  readonly wanted: WantedFile
  /** With its mode, perhaps not synced yet; whoever gets it moves it away. */
  readonly file: string
  /** Lower-case hex. */
  readonly sha256: string
  /** Of the version that it is of; empty where the source has none. */
  readonly etag: string
  /** To be called when the file was moved away. */
  readonly onStored?: () => Promise<void>
}

/** What was fetched is not what its name or the manifest says. The same version of the object will fail again. */
export class WrongContentError extends AgentError {
  override readonly name: string = 'WrongContentError'
  /** Of the version that was fetched; undefined where nobody has seen one. */
  readonly etag: string | undefined

  constructor(message: string, { etag, ...options }: AgentErrorOptions & { readonly etag?: string | undefined } = {}) {
    super(message, options)
    this.etag = etag === '' ? undefined : etag
  }
}

/** What was fetched is not what the source says that it holds: it was damaged there, or on the way. */
export class ChecksumMismatchError extends WrongContentError {
  override readonly name = 'ChecksumMismatchError'
}

/** Throws a WrongContentError when another content was promised; `etag` is that of the version that was fetched. */
export function checkPromise({ object, promised }: WantedFile, sha256: string, etag: string | undefined): void {
  if (promised === undefined || promised === sha256) return
  const name = JSON.stringify(object.key)
  throw new WrongContentError(`${name} has the sha256 ${sha256}, not ${promised} as its name or the manifest says`, {
    hint:
      'upload the object again: its content was damaged before it reached the bucket; panorama-agent sync fetches the same ' +
      'version once more, an hour later',
    etag,
  })
}
