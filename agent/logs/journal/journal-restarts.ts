import { backoffMs, type Random } from '../../lib/backoff.ts'
import { monotonicMs } from '../../lib/monotonic.ts'

const backoff = { baseMs: 1_000, capMs: 60_000, floorMs: 500 }
const soundStartMs = 5_000
const soundRunMs = 60_000

/** What journalctl failed with last, and when it may be started again. */
export class JournalRestarts {
  readonly #random: Random | undefined
  #error: unknown
  #failedInARow = 0
  #startedAtMs = -Infinity
  #notBeforeMs = -Infinity

  constructor(random: Random | undefined) {
    this.#random = random
  }

  /** Undefined while nothing is wrong. */
  get error(): unknown {
    return this.#error
  }

  get isDue(): boolean {
    return monotonicMs() >= this.#notBeforeMs
  }

  started(): void {
    this.#startedAtMs = monotonicMs()
  }

  /** It goes on: after some seconds, what it failed with before is over. */
  goesOn(): void {
    if (monotonicMs() - this.#startedAtMs >= soundStartMs) this.#error = undefined
  }

  succeeded(): void {
    this.#error = undefined
  }

  /** Another start would fail as well. */
  blocked(error: unknown): void {
    this.#error = error
  }

  /** Something failed; the more often in a row, the longer it rests. */
  failed(error: unknown): void {
    this.#error = error
    this.#notBeforeMs = monotonicMs() + backoffMs(this.#failedInARow, backoff, this.#random)
    this.#failedInARow += 1
  }

  /** A run failed; a long one begins the row anew. */
  runFailed(error: unknown): void {
    if (monotonicMs() - this.#startedAtMs >= soundRunMs) this.#failedInARow = 0
    this.failed(error)
  }
}
