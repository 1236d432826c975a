import { monotonicMs } from '../lib/monotonic.ts'
import type { ObjectVersion } from './artifact-source.ts'
import { ChecksumMismatchError, type WrongContentError } from './received-object.ts'

interface WrongContent {
  readonly version: string | undefined
  readonly error: WrongContentError
  readonly atMs: number
}

/** How long an object is not asked for again that may come as it should. */
const believedMs = 3_600_000

/**
 * What failed its checksum, so that the same bytes are not fetched at every pass. Where the version of an object is not
 * known beforehand, as in most manifests, it may have been mended, and what differs from the source's own checksum may have
 * been damaged on the way: such objects are fetched again after an hour.
 */
export class WrongContents {
  /** By key. */
  readonly #found = new Map<string, WrongContent>()

  note(object: ObjectVersion, error: WrongContentError): void {
    this.#found.set(object.key, { version: versionOf(object), error, atMs: monotonicMs() })
  }

  /** What fetching the object again would throw; undefined when that is not known. */
  errorOf(object: ObjectVersion): WrongContentError | undefined {
    const found = this.#found.get(object.key)
    if (found === undefined || found.version !== versionOf(object)) return undefined
    const mayBeMended = found.version === undefined || found.error instanceof ChecksumMismatchError
    return mayBeMended && monotonicMs() - found.atMs > believedMs ? undefined : found.error
  }

  clear(): void {
    this.#found.clear()
  }
}

function versionOf({ versionId, etag }: ObjectVersion): string | undefined {
  return versionId ?? etag
}
