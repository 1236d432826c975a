import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import type { ObjectVersion } from './artifact-source.ts'

const entry = z.object({ key: z.string(), etag: z.string(), sizeBytes: z.number(), sha256: z.string() })
const indexFile = z.object({ version: z.literal(1), objects: z.array(entry) })

/** What content an object had. */
export type Entry = Readonly<z.infer<typeof entry>>

/** An index file grows by about this much with each object. */
const bytesPerEntry = 200

/**
 * Remembers in `<folder>/index.json` which content an object had in the very version that was fetched, so that it is
 * not fetched again. While a pass fetches, the file is written whenever the bytes fetched since outweigh the file
 * itself: a crash fetches again no more than that, and flash is not worn by rewriting a large index for small files.
 */
export class ArtifactIndex {
  readonly #path: string
  readonly #entries: Map<string, Entry>
  #unsavedBytes = 0
  #changed = false
  #writing: Promise<void> = Promise.resolve()

  private constructor(path: string, entries: readonly Entry[]) {
    this.#path = path
    this.#entries = new Map(entries.map((known) => [identityOf(known), known]))
  }

  /** Reads the index; one that cannot be read is set aside, and everything not in it is fetched again. */
  static async load(folder: string, log: Log): Promise<ArtifactIndex> {
    const path = join(folder, 'index.json')
    const file = await readJsonState({ path, log, parse: (json) => indexFile.parse(json) })
    return new ArtifactIndex(path, file?.objects ?? [])
  }

  /** Undefined as well for an object whose etag is not known. */
  sha256Of(object: ObjectVersion): string | undefined {
    const { etag } = object
    return etag === undefined ? undefined : this.#entries.get(identityOf({ ...object, etag }))?.sha256
  }

  /**
   * Call before the content is stored: an entry whose content is missing costs nothing, stored content without an entry
   * is fetched again. Objects without an etag are left out, as nobody can tell their versions apart.
   */
  async remember(objects: readonly Entry[]): Promise<void> {
    for (const { key, etag, sizeBytes, sha256 } of objects) {
      if (etag === '') continue
      const known = { key, etag, sizeBytes, sha256 }
      this.#entries.set(identityOf(known), known)
      this.#changed = true
      this.#unsavedBytes += sizeBytes
    }
    if (this.#unsavedBytes >= this.#entries.size * bytesPerEntry) await this.save()
  }

  /** Forgets what is neither in the listing nor content that `keep` wants. */
  prune(listed: readonly ObjectVersion[], keep: (sha256: string) => boolean): void {
    const identities = new Set(
      listed.map(({ etag, ...object }) => (etag === undefined ? '' : identityOf({ ...object, etag }))),
    )
    for (const [identity, { sha256 }] of this.#entries) {
      if (identities.has(identity) || keep(sha256)) continue
      this.#entries.delete(identity)
      this.#changed = true
    }
  }

  /** Writes what is not on disk yet; nothing when all is. */
  async save(): Promise<void> {
    this.#unsavedBytes = 0
    const write = this.#writing.then(async () => {
      if (!this.#changed) return
      this.#changed = false
      await writeJsonState(this.#path, { version: 1, objects: [...this.#entries.values()] })
    })
    this.#writing = write.catch(() => {
      this.#changed = true
    })
    await write
  }
}

function identityOf({ key, etag, sizeBytes }: Pick<Entry, 'key' | 'etag' | 'sizeBytes'>): string {
  return `${sizeBytes} ${etag}\0${key}`
}
