import { createHash } from 'node:crypto'

import { jittered, type Random } from '../lib/backoff.ts'
import type { AgentError } from '../lib/errors.ts'

const fixedSpread = 0.05
const passSpread = 0.05
const retryBaseMs = 5_000
/** While a failure may end by itself, such as an outage, no wait is longer than this and half of it. */
const outageRetryMs = 40_000

/**
 * How long after one reading of all secrets the next is due: `refreshSeconds`, off by up to a tenth. Half of that is
 * always the same for an appliance, so that a fleet that was switched on together drifts apart.
 */
export function refreshIntervalMs(refreshSeconds: number, thingName: string, random: Random = Math.random): number {
  const share = createHash('sha256').update(thingName).digest().readUInt32BE(0) / 2 ** 32
  return jittered(
    jittered(refreshSeconds * 1000, fixedSpread, () => share),
    passSpread,
    random,
  )
}

/**
 * How long a camera waits after so many failures in a row, before it is spread. What needs a person, and a service that
 * has too many requests, is asked less and less often, up to the next refresh.
 */
export function retryMs({ retryable, isOverloaded, retryAfterMs = 0 }: AgentError, failuresInARow: number): number {
  const capMs = retryable && !isOverloaded ? outageRetryMs : Infinity
  return Math.max(retryAfterMs, Math.min(capMs, retryBaseMs * 2 ** Math.min(failuresInARow, 10)))
}
