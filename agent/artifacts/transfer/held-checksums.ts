import type { Log } from '../../lib/log.ts'
import { ObjectChangedError, type HeldChecksum, type ObjectVersion, type RunningChecksum } from '../artifact-source.ts'
import type { ObjectRequestDeps } from './object-request.ts'
import { persist } from './persistent-request.ts'
import { ChecksumMismatchError } from './received-object.ts'
import type { Waiting } from './transfers.ts'

export interface HeldChecksumsDeps extends Pick<ObjectRequestDeps, 'source' | 'lane' | 'backoff'> {
  readonly log: Log
}

/** What an object has to be. */
export interface ExpectedChecksum extends Pick<HeldChecksum, 'algorithm' | 'value'> {
  /** To be fed with its bytes; undefined where the sha256, which is computed anyway, is all that it takes. */
  readonly running: RunningChecksum | undefined
}

/**
 * What a source holds to check its objects by. That is an addition to the source's own care for its bytes, so an object of
 * which it says nothing is taken as it comes, and the log tells.
 */
export class HeldChecksums {
  readonly #deps: HeldChecksumsDeps
  #hasRefused = false

  constructor(deps: HeldChecksumsDeps) {
    this.#deps = deps
  }

  /**
   * Asks once, over as many tries as that takes. Undefined when there is nothing to check the object by. Throws an
   * ObjectChangedError when the version is gone, and what the source threw.
   */
  async of(object: ObjectVersion, { signal, beat }: Waiting): Promise<ExpectedChecksum | undefined> {
    const { source, lane, backoff, log } = this.#deps
    const { transfers } = lane
    const tries = { transfers, backoff, signal, beat, hasGained: () => false, mayTryAgain: () => true }
    const answer = await persist(tries, async () => {
      using _ = await lane.enter(0, { signal, beat })
      return await source.heldChecksum(object, signal)
    })
    if (answer === 'changed') throw new ObjectChangedError(object.key)
    switch (answer.kind) {
      case 'refused':
        if (!this.#hasRefused) {
          log.warn('the source tells no checksums, so objects are not checked by them', { error: answer.error })
        }
        this.#hasRefused = true
        return undefined
      case 'none':
        log.debug('no checksum to check an object by', { key: object.key, why: answer.why })
        return undefined
      case 'held':
        this.#hasRefused = false
        return { ...answer, running: answer.algorithm === 'SHA256' ? undefined : answer.begin() }
    }
  }
}

/** Throws a ChecksumMismatchError when bytes with this sha256, in hex, are not what the source holds. */
export async function checkHeld(
  { key }: ObjectVersion,
  { algorithm, value, running }: ExpectedChecksum,
  sha256: string,
): Promise<void> {
  const found = running === undefined ? Buffer.from(sha256, 'hex').toString('base64') : await running.digest()
  if (found === value) return
  const name = JSON.stringify(key)
  throw new ChecksumMismatchError(`${name} has the ${algorithm} checksum ${found}, not ${value} as its source holds`, {
    hint: 'upload the object again: it was damaged after it was put, or on the way; it is tried again after an hour',
  })
}
