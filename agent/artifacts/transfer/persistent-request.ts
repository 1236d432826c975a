import { backoffMs, type Backoff } from '../../lib/backoff.ts'
import { AgentError } from '../../lib/errors.ts'
import { sleep } from '../../lib/sleep.ts'
import { ObjectChangedError } from '../artifact-source.ts'
import type { Transfers, Waiting } from './transfers.ts'

export interface PersistentRequestOptions extends Waiting {
  readonly transfers: Pick<Transfers, 'pause'>
  readonly backoff: Backoff
  /** Whether the try that failed brought something, so that it does not count. */
  readonly hasGained: () => boolean
  /** Asked after a failure: whether there is anything left to try. */
  readonly mayTryAgain: () => boolean
}

/** In a row, without anything gained in between. */
const maxTries = 4

/**
 * Makes a request until it succeeds. A failure that another try can mend costs a wait with full jitter, or what the
 * source asks for; one that says that the source is overloaded makes all transfers of the appliance wait. Throws the last
 * failure after four tries in a row of which none gained anything, and at once when trying again cannot help.
 */
export async function persist<T>(
  { transfers, backoff, signal, beat, hasGained, mayTryAgain }: PersistentRequestOptions,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (hasGained()) tries = 1
      if (tries >= maxTries || !mayTryAgain() || !isWorthAnotherTry(error)) throw error
      const waitMs = Math.max(backoffMs(tries - 1, backoff), error.retryAfterMs ?? 0)
      if (error.isOverloaded) transfers.pause(waitMs)
      else await sleep(Math.min(waitMs, longestWaitMs), signal)
      beat()
    }
  }
}

const longestWaitMs = 30_000

function isWorthAnotherTry(error: unknown): error is AgentError {
  return error instanceof AgentError && error.retryable && !error.retrySlowly && !(error instanceof ObjectChangedError)
}
