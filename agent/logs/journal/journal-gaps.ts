import { monotonicMs } from '../../lib/monotonic.ts'
import type { JournalClock } from './journal-clock.ts'
import type { JournalPosition } from './journal-position.ts'
import type { JournalStream } from './journal-stream.ts'
import type { LogTarget } from '../log-destination.ts'
import type { GapRecord } from '../log-source.ts'

export interface JournalGapsDeps {
  readonly clock: JournalClock
  /** The cloud's time in milliseconds since 1970. */
  readonly cloudNow: () => number
  readonly onGap: (record: GapRecord) => void
  /** Named in the records. */
  readonly source: string
}

export interface MissedEntries {
  /** Undefined: the first entry of the boot. */
  readonly from: JournalPosition | undefined
  readonly to: JournalPosition
  readonly reason: 'vacuumed' | 'too far behind'
}

/** Tells of what of the journal was lost. */
export class JournalGaps {
  readonly #deps: JournalGapsDeps

  constructor(deps: JournalGapsDeps) {
    this.#deps = deps
  }

  /** Records that what was between two entries is not sent, and lets the stream go on at the later one. */
  missed(stream: JournalStream, { from, to, reason }: MissedEntries): void {
    const { onGap, source } = this.#deps
    const first = from === undefined ? {} : { firstMs: this.#cloudTimeOf(from) }
    onGap({ target: stream.target, source, reason, ...first, lastMs: this.#cloudTimeOf(to) })
    stream.moveBefore(to)
  }

  /** Records an entry that was too long to be kept, or that journalctl garbled. */
  unreadable(target: LogTarget | undefined, bytes: number): void {
    const { onGap, source } = this.#deps
    if (target !== undefined) onGap({ target, source, reason: 'dropped', lines: 1, bytes })
  }

  #cloudTimeOf({ bootId, monotonicUs, realtimeUs }: JournalPosition): number {
    const { clock, cloudNow } = this.#deps
    if (bootId !== clock.bootId) return Math.floor(realtimeUs / 1_000)
    return Math.round(cloudNow() - (monotonicMs() - clock.atMsOf(monotonicUs)))
  }
}
