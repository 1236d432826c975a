import { backoffMs, type Backoff } from '../../lib/backoff.ts'
import { AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'

const retryableBackoff: Backoff = { baseMs: 1_000, capMs: 60_000 }
const hopelessRestMs = { minMs: 30_000, maxMs: 120_000 }
const longestRestMs = 600_000

/** How long a stream rests after failures, which concerns no other stream. Instants are on the monotonic clock. */
export class StreamRest {
  #failedInARow = 0
  #notBeforeMs = -Infinity
  #lastError: unknown
  #sinceMs = monotonicMs()

  get isResting(): boolean {
    return monotonicMs() < this.#notBeforeMs
  }

  /** What the last try failed with; undefined after one that did not. */
  get lastError(): unknown {
    return this.#lastError
  }

  /** When it began to succeed or to fail. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  /** Undefined while it does not rest. */
  get nextAttemptMs(): number | undefined {
    return this.isResting ? this.#notBeforeMs : undefined
  }

  succeeded(): void {
    if (this.#lastError !== undefined) this.#sinceMs = monotonicMs()
    this.#failedInARow = 0
    this.#notBeforeMs = -Infinity
    this.#lastError = undefined
  }

  failed(error: unknown): void {
    const { minMs, maxMs } = hopelessRestMs
    const isHopeless = error instanceof AgentError && !error.retryable
    const askedMs = error instanceof AgentError ? Math.min(error.retryAfterMs ?? 0, longestRestMs) : 0
    const restMs = isHopeless
      ? minMs + Math.random() * (maxMs - minMs)
      : Math.max(retryableBackoff.baseMs, backoffMs(this.#failedInARow, retryableBackoff))
    if (this.#lastError === undefined) this.#sinceMs = monotonicMs()
    this.#failedInARow += 1
    this.#notBeforeMs = monotonicMs() + Math.max(restMs, askedMs)
    this.#lastError = error
  }

  /** Ends the rest: what it was for may be over. */
  end(): void {
    this.#notBeforeMs = -Infinity
  }
}
