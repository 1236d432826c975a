import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../../lib/json-state.ts'
import type { Log } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { partialId } from './partial-file.ts'
import { ChecksumMismatchError, WrongContentError } from './received-object.ts'
import type { WantedFile } from '../release/wanted-release.ts'

const entry = z.object({
  /** See `partialId`. */
  id: z.string(),
  /** Of the version that was fetched. */
  etag: z.string().exactOptional(),
  message: z.string(),
  hint: z.string().exactOptional(),
})
const wrongFile = z.object({ version: z.literal(1), objects: z.array(entry) })

interface WrongContent {
  readonly error: WrongContentError
  /** When this process has fetched it, and when it has last seen the object to be that version. */
  readonly fetchedMs?: number
  readonly seenMs?: number
}

/** A version of an object that is known to be wrong, where nobody has said which version is there. */
export interface SuspectVersion {
  readonly etag: string
  readonly error: WrongContentError
}

/** How long an object is not asked for again that may come as it should. */
const believedMs = 3_600_000
const maxObjects = 64

/**
 * What failed its checksum, so that the same bytes are not fetched at every pass, nor after every restart: it is kept in
 * `<folder>/wrong.json`. Where the version of an object is not known beforehand, as in most manifests, it may have been mended
 * meanwhile: after an hour, or a restart, its etag tells. What differs from the source's own checksum may have been damaged on the
 * way: it is fetched again after an hour.
 */
export class WrongContents {
  readonly #path: string
  readonly #log: Log
  /** By id, the oldest first. */
  readonly #found: Map<string, WrongContent>

  private constructor(path: string, log: Log, found: Map<string, WrongContent>) {
    this.#path = path
    this.#log = log
    this.#found = found
  }

  /** Reads what is known; a file that cannot be read is set aside, and what was wrong is fetched once more. */
  static async load(folder: string, log: Log): Promise<WrongContents> {
    const path = join(folder, 'wrong.json')
    const file = await readJsonState({ path, log, parse: (json) => wrongFile.parse(json) })
    const objects = file?.objects.slice(-maxObjects) ?? []
    const found = objects.map(({ id, message, ...options }) => {
      return [id, { error: new WrongContentError(message, options) }] as const
    })
    return new WrongContents(path, log, new Map(found))
  }

  /** Remembers the newest 64 of these, durably where a version is known. Never fails: what it costs is another fetch. */
  async note(wanted: WantedFile, error: WrongContentError): Promise<void> {
    const id = partialId(wanted)
    this.#found.delete(id)
    this.#found.set(id, { error, fetchedMs: monotonicMs(), seenMs: monotonicMs() })
    for (const oldest of [...this.#found.keys()].slice(0, -maxObjects)) this.#found.delete(oldest)
    if (isFinal({ error }) && (error.etag !== undefined || hasVersion(wanted))) await this.#save()
  }

  /** What fetching the object again would throw; undefined when that is not known. */
  errorOf(wanted: WantedFile): WrongContentError | undefined {
    const found = this.#found.get(partialId(wanted))
    if (found === undefined || (hasVersion(wanted) && isFinal(found))) return found?.error
    return isRecent(found.seenMs) ? found.error : undefined
  }

  /** The version that must not be there for the object to be worth a fetch. */
  suspectOf(wanted: WantedFile): SuspectVersion | undefined {
    const error = this.#found.get(partialId(wanted))?.error
    return error?.etag === undefined ? undefined : { etag: error.etag, error }
  }

  /** The suspect is still there. */
  confirm(wanted: WantedFile, { error }: SuspectVersion): void {
    const id = partialId(wanted)
    this.#found.set(id, { ...this.#found.get(id), error, seenMs: monotonicMs() })
  }

  /** Forgets what was not fetched in the last hour, by this process: what damaged the bytes then may have been mended. */
  async forgetOld(): Promise<void> {
    const old = [...this.#found].filter(([, { fetchedMs }]) => !isRecent(fetchedMs))
    for (const [id] of old) this.#found.delete(id)
    if (old.length > 0) await this.#save()
  }

  async clear(): Promise<void> {
    if (this.#found.size === 0) return
    this.#found.clear()
    await this.#save()
  }

  async #save(): Promise<void> {
    const objects = [...this.#found]
      .filter(([, found]) => isFinal(found))
      .map(
        ([
          id,
          {
            error: { etag, message, hint },
          },
        ]) => ({ id, etag, message, hint }),
      )
    await writeJsonState(this.#path, { version: 1, objects }).catch((error: unknown) => {
      this.#log.warn('what was fetched with a wrong content cannot be remembered for the next start', { error })
    })
  }
}

/** Whether the same version would be wrong again. */
function isFinal({ error }: Pick<WrongContent, 'error'>): boolean {
  return !(error instanceof ChecksumMismatchError)
}

function isRecent(atMs: number | undefined): boolean {
  return atMs !== undefined && monotonicMs() - atMs <= believedMs
}

function hasVersion({ object: { etag, versionId } }: WantedFile): boolean {
  return etag !== undefined || versionId !== undefined
}
