import { withDeadline } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { ArtifactSource } from './artifact-source.ts'
import { wantedFromListing, type WantedRelease } from './wanted-release.ts'

const listWithinMs = 600_000

/** Finds out what release the source wants an artifact to have. */
export class ReleaseFinder {
  readonly #source: ArtifactSource

  constructor(source: ArtifactSource) {
    this.#source = source
  }

  /**
   * Asks the source. Throws what the source throws; changes nothing. An empty listing never takes the place of
   * `installedFiles` files.
   */
  async find(signal: AbortSignal, installedFiles: number): Promise<WantedRelease> {
    const deadline = { signal, withinMs: listWithinMs, what: 'the listing' }
    const objects = await withDeadline(deadline, (inner) => this.#source.list(inner))
    const files = wantedFromListing(objects)
    if (files.length === 0 && installedFiles > 0) throw emptied()
    return { files }
  }
}

/** A mistyped prefix looks like this too, and must not take a working model from a fleet. */
function emptied(): AgentError {
  return new AgentError('the access point holds nothing there any more; the installed release stays', {
    hint: 'check accessPoint and prefix in the configuration; to give an artifact up, take it out of the configuration',
  })
}
