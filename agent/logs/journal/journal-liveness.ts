import { monotonicMs } from '../../lib/monotonic.ts'
import type { JournalClock } from './journal-clock.ts'
import type { JournalPosition } from './journal-position.ts'

const liveWithinMs = 60_000
/** How long what is read may lag before the others no longer wait for a stream that is full, though it moves. */
const longestLagMs = 300_000

/** Whether the journal is followed as it is written, or a backlog is read. */
export class JournalLiveness {
  readonly #clock: JournalClock
  #isLive = false
  #liveAtMs = -Infinity

  constructor(clock: JournalClock) {
    this.#clock = clock
  }

  /** Whether the entry that was read last was less than a minute old, and nothing holds the reading up. */
  get isLive(): boolean {
    return this.#isLive
  }

  /** Whether it has not been live for so long that it is not to wait any more for a stream that is slow. */
  get isLate(): boolean {
    return monotonicMs() - this.#liveAtMs >= longestLagMs
  }

  /** A run of journalctl begins, somewhere; it has all its time to come to what is new. */
  began(): void {
    this.#isLive = false
    this.#liveAtMs = monotonicMs()
  }

  /** Reading has come to this entry. */
  cameTo({ bootId, monotonicUs }: JournalPosition): void {
    this.#isLive = bootId === this.#clock.bootId && monotonicMs() - this.#clock.atMsOf(monotonicUs) < liveWithinMs
    if (this.#isLive) this.#liveAtMs = monotonicMs()
  }

  /** The entry that reading has come to finds no room. */
  held(): void {
    this.#isLive = false
  }
}
