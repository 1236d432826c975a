import { createHash } from 'node:crypto'

import { withDeadline } from '../../lib/abort.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { ArtifactSource, SourceObject } from '../artifact-source.ts'
import { KeptManifest, type ManifestText } from './kept-manifest.ts'
import {
  manifestPath,
  maxManifestBytes,
  parseManifest,
  RefusedManifestError,
  wantedFromManifest,
} from './release-manifest.ts'
import { readTrustedKeys, unverifiedPayload, verifiedPayload, type TrustedKey } from './release-signature.ts'
import type { SettledWish, SourceState } from './source-state.ts'
import { listingId, wantedFromListing, type WantedRelease } from './wanted-release.ts'

export interface ReleaseFinderDeps {
  readonly source: ArtifactSource
  /** Of the artifact; a manifest is for no other. */
  readonly name: string
  readonly accessPoint: string
  readonly prefix: string
  /** As configured. With keys, only a manifest that one of them signed is believed. */
  readonly trustedKeys: readonly string[]
  /** The artifact's own. */
  readonly folder: string
  readonly log: Log
}

export interface InstalledHere {
  /** How many files the installed release has; 0 without one. */
  readonly files: number
  /** Whether nothing is to be done as long as the source still wants what it wanted then. */
  readonly isSettled: (wish: SettledWish) => boolean
}

const listWithinMs = 600_000

/**
 * Finds out what release the source wants an artifact to have: by the manifest `release.jws` where one is, else by the
 * listing of the prefix. Calls of `find` must not overlap.
 */
export class ReleaseFinder {
  readonly #deps: ReleaseFinderDeps
  /** The manifest that was refused last, so that it is not fetched at every pass. */
  #refused: { readonly etag: string; readonly origin: string; readonly error: RefusedManifestError } | undefined
  readonly #kept: KeptManifest
  /** The manifest that was read last, as long as nobody has said whether it is to be kept. */
  #read: (ManifestText & { readonly origin: string }) | undefined

  constructor(deps: ReleaseFinderDeps) {
    this.#deps = deps
    this.#kept = new KeptManifest(deps.folder, deps.log)
  }

  /** To be called when what `find` answered is settled: nothing needs its manifest any more. */
  async settled(): Promise<void> {
    this.#read = undefined
    await this.#kept.remove()
  }

  /** To be called when it is not: `find` needs the manifest again, and does not ask for it as long as it stays the same. */
  async keep(): Promise<void> {
    const read = this.#read
    this.#read = undefined
    if (read !== undefined && read.etag !== '') await this.#kept.write(read.origin, read)
  }

  /**
   * Asks the source, or answers `unchanged` when it wants what it wanted when the last wish was settled, and that is all
   * right. Costs one conditional request where a manifest is settled or kept and did not change. Throws what the source throws,
   * and a RefusedManifestError; the installed release can stay then. An empty listing never takes the place of installed
   * files.
   */
  async find(state: SourceState, installed: InstalledHere, signal: AbortSignal): Promise<WantedRelease | 'unchanged'> {
    const keys = await readTrustedKeys(this.#deps.trustedKeys)
    const origin = originOf(this.#deps, keys)
    const settled = state.settled?.origin === origin ? state.settled : undefined
    const good = settled !== undefined && installed.isSettled(settled) ? settled : undefined
    const kept = await this.#kept.read(origin)
    const expects = keys.length > 0 || settled?.etag !== undefined || kept !== undefined
    if (!expects) {
      const objects = await this.#list(signal)
      if (!objects.some(({ path }) => path === manifestPath)) return listed(objects, { origin, good, installed })
    }
    // what waits is asked for first: the source wished it after what is settled
    const found = await this.#readManifest({ origin, known: kept?.etag ?? good?.etag }, signal)
    if (found !== 'unchanged' && good?.etag !== undefined && found.etag === good.etag) {
      this.#refused = undefined
      return 'unchanged'
    }
    if (found === 'unchanged') {
      if (kept === undefined) return 'unchanged'
      const wanted = await this.#believeKept(kept, { origin, keys, state })
      return wanted ?? (await this.find(state, installed, signal))
    }
    const wanted = await this.#believe(found, { origin, keys, state })
    this.#read = { ...found, origin }
    return wanted
  }

  async #list(signal: AbortSignal): Promise<readonly SourceObject[]> {
    const deadline = { signal, withinMs: listWithinMs, what: 'the listing' }
    return await withDeadline(deadline, (inner) => this.#deps.source.list(inner))
  }

  async #readManifest(
    { origin, known }: { readonly origin: string; readonly known: string | undefined },
    signal: AbortSignal,
  ): Promise<ManifestText | 'unchanged'> {
    const refused = this.#refused?.origin === origin ? this.#refused : undefined
    const etag = refused?.etag ?? known
    const found = await withDeadline({ signal, withinMs: listWithinMs, what: 'the manifest' }, (inner) =>
      this.#deps.source.readSmall(manifestPath, { signal: inner, etag, maxBytes: maxManifestBytes }),
    )
    if (found === 'absent') throw absent(this.#deps)
    if (found === 'unchanged' && refused !== undefined) throw refused.error
    if (found === 'unchanged') return found
    const { buffer, byteOffset, byteLength } = found.bytes
    return { etag: found.etag, jws: Buffer.from(buffer, byteOffset, byteLength).toString('latin1') }
  }

  /** Undefined when the disk did not keep it as it was: it is forgotten then. */
  async #believeKept(kept: ManifestText, believer: Believer): Promise<WantedRelease | undefined> {
    try {
      return await this.#believe(kept, believer)
    } catch (error) {
      if (!(error instanceof RefusedManifestError)) throw error
      this.#refused = undefined
      await this.#kept.remove()
      return undefined
    }
  }

  async #believe({ etag, jws }: ManifestText, { origin, keys, state }: Believer): Promise<WantedRelease> {
    this.#refused = undefined
    try {
      const { name, prefix } = this.#deps
      const verified = keys.length > 0
      const payload = verified ? await verifiedPayload(jws, keys) : unverifiedPayload(jws)
      const manifest = parseManifest(payload)
      if (manifest.name !== name) throw forAnother(manifest.name, name)
      const wishId = createHash('sha256').update(payload).digest('hex')
      const { sequence, version, createdAt } = manifest
      if (verified) await state.accept(sequence, wishId)
      const label = { sequence, version, createdAt, verified }
      return { wishId, origin, etag, manifest: label, files: wantedFromManifest(manifest, prefix) }
    } catch (error) {
      if (error instanceof RefusedManifestError) this.#refused = { etag, origin, error }
      throw error
    }
  }
}

interface Believer {
  readonly origin: string
  readonly keys: readonly TrustedKey[]
  readonly state: SourceState
}

interface Listed {
  readonly origin: string
  readonly good: SettledWish | undefined
  readonly installed: InstalledHere
}

function listed(objects: readonly SourceObject[], { origin, good, installed }: Listed): WantedRelease | 'unchanged' {
  const wishId = listingId(objects)
  if (good?.wishId === wishId) return 'unchanged'
  const files = wantedFromListing(objects)
  if (files.length === 0 && installed.files > 0) throw emptied()
  return { wishId, origin, files }
}

/** With other keys, another prefix or another name, what was believed before is asked for anew. */
function originOf({ name, accessPoint, prefix }: ReleaseFinderDeps, keys: readonly TrustedKey[]): string {
  const ids = keys.map(({ id }) => id).sort()
  return JSON.stringify([name, accessPoint, prefix, ...ids])
}

function forAnother(name: string, wanted: string): RefusedManifestError {
  return new RefusedManifestError(
    `it is for ${JSON.stringify(name)}, not for ${JSON.stringify(wanted)}`,
    `publish with --name ${wanted}, or mend name or prefix in the configuration`,
  )
}

function absent({ prefix, trustedKeys }: ReleaseFinderDeps): AgentError {
  const key = `${prefix}${manifestPath}`
  return new AgentError(`there is no manifest ${key}; the installed release stays`, {
    hint:
      trustedKeys.length > 0
        ? 'publish with panorama-agent publish; with trustedKeys nothing else is installed'
        : 'publish again; files without a manifest need a prefix of their own',
  })
}

/** A mistyped prefix looks like this too, and must not take a working model from a fleet. */
function emptied(): AgentError {
  return new AgentError('the access point holds nothing there any more; the installed release stays', {
    hint: 'check accessPoint and prefix in the configuration; to give an artifact up, take it out of the configuration',
  })
}
