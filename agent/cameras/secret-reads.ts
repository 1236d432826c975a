import { AgentError, DeadlineError } from '../lib/errors.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import { KeyedLanes } from '../lib/keyed-lanes.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { maxBatch, type SecretOutcome, type SecretReader } from './secret-reader.ts'

export interface SecretReadsOptions {
  readonly reader: Pick<SecretReader, 'batch' | 'current'>
  /** All that will ever be asked for. */
  readonly secretIds: Iterable<string>
  readonly log: Log
}

export interface ReadRequest {
  /** Which secrets; of those that were given at first. */
  readonly wanted: ReadonlySet<string>
  /** Called as soon as it is known what came of a secret, for each once, at any time and in any order; must not throw. */
  readonly onOutcome: (secretId: string, outcome: SecretOutcome) => void
  readonly signal: AbortSignal
}

/** How secrets are read while batches are denied. Instants are on the monotonic clock. */
export interface DeniedBatches {
  readonly error: AgentError
  readonly sinceMs: number
  /** When a batch is tried again. */
  readonly againMs: number
}

const batchLanes = 4
const singleLanes = 8
const slowLanes = 4
const askAgainMs = 6 * 3_600_000
/** So many failures and nothing but failures: it is the way there, not the secrets. */
const outageFailures = 8

/**
 * Reads secrets in batches of 20, and one by one where that is not allowed, or where an answer leaves one out. Which
 * secrets make a batch never changes, so that a batch that is denied for one of them, as by a VPC endpoint, leaves the
 * other batches alone. One that hangs, fails or is throttled holds up no other.
 */
export class SecretReads {
  readonly #options: SecretReadsOptions
  readonly #batches: readonly (readonly string[])[]
  /** By the place of the batch. */
  readonly #denied = new Map<number, DeniedBatches>()
  /** What did not answer in time when it was last read. */
  readonly #slow = new Set<string>()
  /** In which reading each was last asked for by itself, so that none is passed over for ever. */
  readonly #asked = new Map<string, number>()
  #readings = 0

  constructor(options: SecretReadsOptions) {
    this.#options = options
    const secretIds = [...new Set(options.secretIds)]
    const count = Math.ceil(secretIds.length / maxBatch)
    this.#batches = Array.from({ length: count }, (_, at) => secretIds.slice(at * maxBatch, (at + 1) * maxBatch))
  }

  /** Resolves when all is known. Rejects with the signal's reason on abort. */
  async read(request: ReadRequest): Promise<void> {
    this.#readings += 1
    const reading = this.#readings
    const onAsked = (secretId: string): void => void this.#asked.set(secretId, reading)
    const singles = new SingleReads({ reader: this.#options.reader, slow: this.#slow, request, onAsked })
    await forEachConcurrent(this.#longestLeft(), batchLanes, async ([place, secretIds]) => {
      const wanted = secretIds.filter((secretId) => request.wanted.has(secretId))
      await this.#readBatch(place, wanted, singles)
    })
    await singles.idle()
    request.signal.throwIfAborted()
  }

  /** Undefined while batches are allowed. */
  denied(): DeniedBatches | undefined {
    return this.#denied.values().next().value
  }

  /** The batches and what is in them, those first that were asked for one by one the longest ago. */
  #longestLeft(): readonly (readonly [number, readonly string[]])[] {
    const askedIn = (secretId = ''): number => this.#asked.get(secretId) ?? 0
    const batches = this.#batches.map((secretIds, place) => {
      return [place, secretIds.toSorted((one, other) => askedIn(one) - askedIn(other))] as const
    })
    return batches.toSorted(([, [one]], [, [other]]) => askedIn(one) - askedIn(other))
  }

  async #readBatch(place: number, wanted: readonly string[], singles: SingleReads): Promise<void> {
    if (wanted.length === 0) return
    const denied = this.#denied.get(place)
    // one alone needs no permission to read in batches
    if (wanted.length === 1 || (denied !== undefined && denied.againMs > monotonicMs())) {
      singles.add(wanted)
      return
    }
    try {
      const answer = await this.#options.reader.batch(wanted, singles.request.signal)
      if (answer.kind === 'denied') {
        this.#deny(place, answer.error)
        singles.add(wanted)
        return
      }
      this.#allow(place)
      for (const [secretId, outcome] of answer.outcomes) singles.report(secretId, outcome)
      singles.add(wanted.filter((secretId) => !answer.outcomes.has(secretId)))
    } catch (error) {
      singles.request.signal.throwIfAborted()
      const failure = asAgentError(error)
      // what a batch as a whole cannot have, or waits for, may be one secret's fault
      if (!failure.retryable || failure instanceof DeadlineError) singles.add(wanted)
      else for (const secretId of wanted) singles.report(secretId, { kind: 'failed', error: failure })
    }
  }

  #deny(place: number, error: AgentError): void {
    const isNews = this.#denied.size === 0
    const nowMs = monotonicMs()
    const sinceMs = this.#denied.get(place)?.sinceMs ?? nowMs
    this.#denied.set(place, { error, sinceMs, againMs: nowMs + askAgainMs })
    if (isNews) this.#options.log.warn('secrets are read one by one, because a batch of them is denied', { error })
  }

  #allow(place: number): void {
    if (!this.#denied.delete(place) || this.#denied.size > 0) return
    this.#options.log.info('secrets are read in batches again')
  }
}

interface SingleReadsOptions {
  readonly reader: Pick<SecretReader, 'current'>
  readonly slow: Set<string>
  readonly onAsked: (secretId: string) => void
  readonly request: ReadRequest
}

/** The reads one by one of a pass. */
class SingleReads {
  readonly request: ReadRequest
  readonly #options: SingleReadsOptions
  readonly #lanes = new KeyedLanes(singleLanes)
  /** What hung before waits among its like. */
  readonly #slowLanes = new KeyedLanes(slowLanes)
  #answers = 0
  #failures = 0
  #lastFailure: AgentError | undefined

  constructor(options: SingleReadsOptions) {
    this.#options = options
    this.request = options.request
  }

  add(secretIds: readonly string[]): void {
    const { slow } = this.#options
    for (const secretId of secretIds) {
      const lanes = slow.has(secretId) ? this.#slowLanes : this.#lanes
      lanes.add(secretId, async () => {
        await this.#read(secretId)
      })
    }
  }

  report(secretId: string, outcome: SecretOutcome): void {
    if (this.request.signal.aborted) return
    if (outcome.kind === 'read' || !outcome.error.retryable) this.#answers += 1
    this.request.onOutcome(secretId, outcome)
  }

  async idle(): Promise<void> {
    await this.#lanes.idle()
    await this.#slowLanes.idle()
  }

  async #read(secretId: string): Promise<void> {
    const { reader, slow, onAsked } = this.#options
    const { signal } = this.request
    if (signal.aborted) return
    if (this.#answers === 0 && this.#failures >= outageFailures && this.#lastFailure !== undefined) {
      this.report(secretId, { kind: 'failed', error: this.#lastFailure })
      return
    }
    onAsked(secretId)
    try {
      const version = await reader.current(secretId, signal)
      slow.delete(secretId)
      this.report(secretId, { kind: 'read', version })
    } catch (error) {
      if (error instanceof DeadlineError) slow.add(secretId)
      else slow.delete(secretId)
      this.#failed(secretId, asAgentError(error))
    }
  }

  #failed(secretId: string, error: AgentError): void {
    if (error.retryable) {
      this.#failures += 1
      this.#lastFailure = error
    }
    this.report(secretId, { kind: 'failed', error })
  }
}

function asAgentError(error: unknown): AgentError {
  return error instanceof AgentError
    ? error
    : new AgentError('the secret cannot be read', { retryable: true, cause: error })
}
