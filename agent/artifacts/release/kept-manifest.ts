import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../../lib/json-state.ts'
import type { Log } from '../../lib/log.ts'

const keptFile = z.object({
  version: z.literal(1),
  /** Where it came from and whom it was believed. */
  origin: z.string(),
  etag: z.string(),
  /** As it came, to be verified anew. */
  jws: z.string(),
})

/** A manifest as the source gave it. */
export interface ManifestText {
  readonly etag: string
  readonly jws: string
}

/**
 * The manifest of a release that could not be installed in the pass that read it, in `<folder>/manifest.json`: a release that
 * waits for a download window, or for a fault to be mended, would cost a whole manifest at each pass. It is gone once the wish is
 * settled.
 */
export class KeptManifest {
  readonly #path: string
  readonly #log: Log
  #mayBeThere = true

  constructor(folder: string, log: Log) {
    this.#path = join(folder, 'manifest.json')
    this.#log = log
  }

  /** Undefined when there is none of that origin; a file that cannot be read is set aside. */
  async read(origin: string): Promise<ManifestText | undefined> {
    if (!this.#mayBeThere) return undefined
    const kept = await readJsonState({ path: this.#path, log: this.#log, parse: (json) => keptFile.parse(json) })
    this.#mayBeThere = kept !== undefined
    return kept?.origin === origin ? kept : undefined
  }

  /** Never fails: what that costs is another read. */
  async write(origin: string, { etag, jws }: ManifestText): Promise<void> {
    this.#mayBeThere = true
    await writeJsonState(this.#path, { version: 1, origin, etag, jws }).catch((error: unknown) => {
      this.#log.debug('the manifest cannot be kept and is read again', { error })
    })
  }

  async remove(): Promise<void> {
    if (!this.#mayBeThere) return
    await rm(this.#path, { force: true })
    this.#mayBeThere = false
  }
}
