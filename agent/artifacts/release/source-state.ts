import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../../lib/json-state.ts'
import type { Log } from '../../lib/log.ts'
import { RefusedManifestError } from './release-manifest.ts'
import type { ManifestLabel, WantedRelease } from './wanted-release.ts'

const label = z.object({
  sequence: z.number(),
  version: z.string(),
  createdAt: z.string(),
  verified: z.boolean(),
})
const settled = z.object({
  /** Where it came from and whom it was believed. */
  origin: z.string(),
  wishId: z.string(),
  releaseId: z.string().optional(),
  etag: z.string().optional(),
  manifest: label.optional(),
})
const stateFile = z.object({
  version: z.literal(1),
  /** The highest sequence of a signed manifest that was ever accepted, and the payload's sha256. */
  highest: z.object({ sequence: z.number(), digest: z.string() }).optional(),
  settled: settled.optional(),
})

type Contents = Readonly<z.infer<typeof stateFile>>

/** The last wish of the source that became a release, or was not to become one. */
export interface SettledWish {
  readonly origin: string
  readonly wishId: string
  /** Undefined when it was never looked what release it would be. */
  readonly releaseId?: string | undefined
  /** Of the manifest; undefined when the wish was a listing. */
  readonly etag?: string | undefined
  readonly manifest?: ManifestLabel | undefined
}

/**
 * What is known of an artifact's source, in `<folder>/source.json`: apart from the releases, so that losing those does
 * not open the way back to an old manifest.
 */
export class SourceState {
  readonly #path: string
  #contents: Contents

  private constructor(path: string, contents: Contents) {
    this.#path = path
    this.#contents = contents
  }

  /**
   * Reads the state; one that makes no sense is set aside, and the source is asked as if for the first time. Throws a
   * retryable AgentError when it cannot be read at the moment: it alone keeps old manifests out.
   */
  static async load(folder: string, log: Log): Promise<SourceState> {
    const path = join(folder, 'source.json')
    const contents = await readJsonState({ path, log, parse: (json) => stateFile.parse(json), isVital: () => true })
    return new SourceState(path, contents ?? { version: 1 })
  }

  get settled(): SettledWish | undefined {
    return this.#contents.settled
  }

  /**
   * Accepts a signed manifest, durably, before anything of it is fetched. Throws a RefusedManifestError for a sequence
   * below the highest accepted, or for another manifest under that same sequence.
   */
  async accept(sequence: number, digest: string): Promise<void> {
    const { highest } = this.#contents
    if (highest?.sequence === sequence && highest.digest === digest) return
    if (highest !== undefined && sequence < highest.sequence) {
      throw outdated(`its sequence ${sequence} is below ${highest.sequence}, which was accepted before`)
    }
    if (highest?.sequence === sequence) throw outdated(`another manifest with its sequence ${sequence} was accepted`)
    await this.#write({ ...this.#contents, highest: { sequence, digest } })
  }

  /** Remembers which release came of a wish, if any. Writes only what is new. */
  async settle({ wishId, origin, etag, manifest }: WantedRelease, releaseId: string | undefined): Promise<void> {
    const known = this.settled
    if (known?.wishId === wishId && known.origin === origin && known.etag === etag && known.releaseId === releaseId) {
      return
    }
    await this.#write({ ...this.#contents, settled: { origin, wishId, releaseId, etag, manifest } })
  }

  async #write(contents: Contents): Promise<void> {
    await writeJsonState(this.#path, contents)
    this.#contents = contents
  }
}

function outdated(why: string): RefusedManifestError {
  return new RefusedManifestError(why, 'to go back, publish the old files again: they get a higher sequence')
}
