import { backoffMs } from '../lib/backoff.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import type { IdentityProof, KeyPair } from './fleet-provisioning.ts'

/** How long AWS IoT may take to know a new certificate everywhere, and the bound of the wait before it is asked again. */
export interface Patience {
  readonly withinMs: number
  readonly everyMs: number
}

export const usualPatience: Patience = { withinMs: 300_000, everyMs: 1_000 }

/** No wait between tries is longer than this many times the bound of the first. */
const longestWait = 10

/** How long to wait after so many tries and one, drawn anew each time: what ends an outage would bring a whole floor back at once. */
export function nextTryMs(tries: number, { everyMs }: Patience): number {
  return backoffMs(tries, { baseMs: everyMs, capMs: longestWait * everyMs })
}

const firstRefusals = 6
const mostRefusals = 384

/**
 * After how many refusals in a row, each of which lasted for all of the patience, another certificate is asked for. Under a policy that
 * is wrong, that one is refused as well: so half an hour at least goes by before the first, then two hours, eight, and 32 before each.
 */
export function refusalsBeforeAnother(replaced: number): number {
  return Math.min(firstRefusals * 4 ** Math.min(replaced, 10), mostRefusals)
}

export type ProofOutcome =
  | { readonly kind: 'proven' }
  /** Whenever AWS IoT was reached, it did not take the certificate, up to the last try. */
  | { readonly kind: 'refused'; readonly error: unknown }
  /** Something else is missing, such as the network or a role. */
  | { readonly kind: 'unproven'; readonly error: unknown }

export interface Candidate {
  readonly pair: KeyPair
  readonly thingName: string
  readonly patience: Patience
  readonly signal: AbortSignal
  readonly onTry: () => void
}

/** Uses an identity until that works, or for as long as the patience lasts. On abort the signal's reason is thrown. */
export async function proveInTime(proof: IdentityProof, candidate: Candidate): Promise<ProofOutcome> {
  const { patience, signal, onTry } = candidate
  const endMs = monotonicMs() + patience.withinMs
  let wasTaken = false
  for (let tries = 0; ; tries += 1) {
    onTry()
    const outcome = await tryOut(proof, candidate)
    if (outcome.kind === 'proven') return outcome
    wasTaken ||= outcome.kind === 'taken'
    if (monotonicMs() >= endMs) {
      return { kind: outcome.kind === 'refused' && !wasTaken ? 'refused' : 'unproven', error: outcome.error }
    }
    await sleep(nextTryMs(tries, patience), signal)
  }
}

type TryOutcome =
  { readonly kind: 'proven' } | { readonly kind: 'refused' | 'taken' | 'failed'; readonly error: unknown }

async function tryOut(proof: IdentityProof, { pair, thingName, signal }: Candidate): Promise<TryOutcome> {
  let kind: 'failed' | 'taken' = 'failed'
  try {
    const attempt = await proof.connect(pair, thingName, signal)
    if (attempt.kind === 'refused') return attempt
    kind = 'taken'
    await proof.getCredentials(pair, thingName, signal)
    return { kind: 'proven' }
  } catch (error) {
    signal.throwIfAborted()
    return { kind, error }
  }
}
