import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { GapRecord } from './log-source.ts'

export interface LogTotals {
  /** Events that are stored. */
  readonly accepted: number
  /** Events that were refused, or dropped before they could be sent. */
  readonly lost: number
  /** Bytes that went away at their source before they were read. */
  readonly lostBytes: number
  /** Events that were not sent for their level, or because they were too far behind. */
  readonly leftOut: number
  /** Bytes of files that were not read, because they were too far behind. */
  readonly leftOutBytes: number
}

/** In events, but for those that are bytes. */
export interface LogLoss {
  readonly tooOld?: number
  readonly tooNew?: number
  readonly expired?: number
  readonly refused?: number
  readonly dropped?: number
  readonly removedBytes?: number
}

/** What was counted since the start of the agent, whatever workers did: each reload makes another one. */
export class LogCounts {
  #totals: LogTotals = { accepted: 0, lost: 0, lostBytes: 0, leftOut: 0, leftOutBytes: 0 }

  get totals(): LogTotals {
    return this.#totals
  }

  add(counted: Partial<LogTotals>): void {
    const { accepted, lost, lostBytes, leftOut, leftOutBytes } = this.#totals
    this.#totals = {
      accepted: accepted + (counted.accepted ?? 0),
      lost: lost + (counted.lost ?? 0),
      lostBytes: lostBytes + (counted.lostBytes ?? 0),
      leftOut: leftOut + (counted.leftOut ?? 0),
      leftOutBytes: leftOutBytes + (counted.leftOutBytes ?? 0),
    }
  }
}

const reportEveryMs = 600_000
const droppedMessages = 'droppedMetrics'

/** Counts what arrived and what did not, and reports losses at once, then at most every 10 minutes. */
export class LogTally {
  readonly #log: Log
  readonly #counts: LogCounts
  #unreported: Record<string, number> = {}
  #reportedAtMs = -Infinity

  constructor(log: Log, counts = new LogCounts()) {
    this.#log = log
    this.#counts = counts
  }

  get totals(): LogTotals {
    return this.#counts.totals
  }

  accepted(events: number): void {
    this.#counts.add({ accepted: events })
  }

  lost(loss: LogLoss): void {
    const { removedBytes = 0, ...events } = loss
    const lost = Object.values(events).reduce((sum, count) => sum + count, 0)
    this.#counts.add({ lost, lostBytes: removedBytes })
    for (const [reason, count] of Object.entries({ ...events, removedBytes })) this.#toReport(reason, count)
  }

  /** Such as metrics: no log events, and made to be dropped for newer ones. Logged, not counted. */
  messagesDropped(count: number): void {
    this.#toReport(droppedMessages, count)
  }

  /** What the configuration asks to leave out. Events that were read, or bytes that were not. */
  leftOut({ events = 0, bytes = 0 }: { readonly events?: number; readonly bytes?: number }): void {
    this.#counts.add({ leftOut: events, leftOutBytes: bytes })
    this.#toReport('leftOutEvents', events)
    this.#toReport('leftOutBytes', bytes)
  }

  /** What is missing in a stream; refused events are counted by `lost` alone, by why they were. */
  missing({ reason, bytes = 0, lines = 0 }: GapRecord): void {
    switch (reason) {
      case 'rotated':
      case 'vacuumed':
        this.lost({ removedBytes: bytes })
        if (bytes === 0) this.#toReport('unknownAmounts', 1)
        break
      case 'too far behind':
      case 'level':
        this.leftOut(lines > 0 ? { events: lines } : { bytes })
        if (lines === 0 && bytes === 0) this.#toReport('leftOutUnknownAmounts', 1)
        break
      case 'dropped':
        this.lost({ dropped: lines })
        break
      case 'refused':
        break
    }
  }

  /** Logs what is not reported yet, if it is time. The limit keeps its own line from causing the next. */
  report(): void {
    if (Object.keys(this.#unreported).length === 0 || monotonicMs() - this.#reportedAtMs < reportEveryMs) return
    const { [droppedMessages]: metrics = 0, ...events } = this.#unreported
    if (metrics > 0) this.#log.warn('metrics records were dropped for newer ones', { records: metrics })
    const reasons = Object.keys(events)
    if (reasons.some((reason) => !reason.startsWith('leftOut'))) this.#log.error('log events were lost', events)
    else if (reasons.length > 0) this.#log.warn('log events were left out', events)
    this.#unreported = {}
    this.#reportedAtMs = monotonicMs()
  }

  #toReport(reason: string, count: number): void {
    if (count > 0) this.#unreported[reason] = (this.#unreported[reason] ?? 0) + count
  }
}
