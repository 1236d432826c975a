import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'

export interface LogTotals {
  /** Events that are stored. */
  readonly accepted: number
  /** Events that were refused for their time, or dropped from the agent's own log. */
  readonly lost: number
  /** Bytes of files that went away before they were read. */
  readonly lostBytes: number
}

/** In events, but for removedBytes. */
export interface LogLoss {
  readonly tooOld?: number
  readonly tooNew?: number
  readonly expired?: number
  readonly dropped?: number
  readonly removedBytes?: number
}

const reportEveryMs = 600_000

/** Counts what arrived and what was lost, and reports losses at once, then at most every 10 minutes. */
export class LogTally {
  readonly #log: Log
  #totals: LogTotals = { accepted: 0, lost: 0, lostBytes: 0 }
  #unreported: Record<string, number> = {}
  #reportedAtMs = -Infinity

  constructor(log: Log) {
    this.#log = log
  }

  get totals(): LogTotals {
    return this.#totals
  }

  accepted(events: number): void {
    this.#totals = { ...this.#totals, accepted: this.#totals.accepted + events }
  }

  lost(loss: LogLoss): void {
    const { removedBytes = 0, ...events } = loss
    const lost = Object.values(events).reduce((sum, count) => sum + count, 0)
    this.#totals = {
      ...this.#totals,
      lost: this.#totals.lost + lost,
      lostBytes: this.#totals.lostBytes + removedBytes,
    }
    for (const [reason, count] of Object.entries({ ...events, removedBytes })) {
      if (count > 0) this.#unreported[reason] = (this.#unreported[reason] ?? 0) + count
    }
  }

  /** Logs the losses that are not reported yet, if it is time. The limit keeps its own line from causing the next. */
  report(): void {
    if (Object.keys(this.#unreported).length === 0 || monotonicMs() - this.#reportedAtMs < reportEveryMs) return
    this.#log.error('log events were lost', this.#unreported)
    this.#unreported = {}
    this.#reportedAtMs = monotonicMs()
  }
}
