import { acceptedTimes, eventTimeMs, isInDoubt, type ClockReading } from '../events/event-clock.ts'
import { clockRecord } from './gap-record.ts'
import { BatchEvents } from './batch-events.ts'
import { isLeftOut, type SourceEvent } from '../events/source-event.ts'

export interface BatchLimits {
  /** Of the events together: UTF-8 bytes of each message plus `eventOverheadBytes`. */
  readonly maxBytes: number
  readonly maxEvents: number
  /** The newest event of a batch is less than this after its oldest. */
  readonly spanMs: number
}

/** What CloudWatch Logs adds to the size of each event ("PutLogEvents", API reference). */
export const eventOverheadBytes = 26

/** The limits of one batch, from "PutLogEvents" in the CloudWatch Logs API reference. */
export const putLogEventsLimits: BatchLimits = { maxBytes: 1_048_576, maxEvents: 10_000, spanMs: 86_400_000 }

/** The longest message the agent makes, in UTF-8 bytes: under 1 MB by either way of counting a megabyte. */
export const maxMessageBytes = 1_000_000

/** Events in the order that they are to be sent in. One without a message is left out, but taken. */
export interface UnsentEvents {
  readonly length: number
  /** Good until the next call at least. */
  at(index: number): SourceEvent | undefined
}

export interface BatchRules {
  readonly clock: ClockReading
  readonly limits: BatchLimits
  /** Events that are older by this or more are left out, but for those of years ago and those in doubt: their clock was wrong. */
  readonly maxAgeMs: number
  /** How many of the unsent events it may take. */
  readonly maxTaken: number
  /** Whether the events before were of a time that is not right, so that a clock record stands there already. */
  readonly isFlagged: boolean
}

export interface LogBatch {
  /** Chronological; events of the same millisecond in the order that they were given in. Clock records are among them. */
  readonly events: BatchEvents
  /** How many unsent events it takes, from the front. */
  readonly taken: number
  /** How many of them it sends. */
  readonly sent: number
  /** Where among them those are that are too old. */
  readonly tooOld: readonly number[]
  /** As `BatchLimits.maxBytes` counts them. */
  readonly bytes: number
  /** Whether it has events of a time that is not right, flagged by a clock record here or before. */
  readonly isFlagged: boolean
}

const wrongClockMs = 400 * 86_400_000

/**
 * The longest batch that keeps the limits, from the front of `unsent`. It takes at least one event where there are any:
 * one event goes alone if it is longer than `maxBytes`. All times are ones that CloudWatch Logs takes: an event of
 * another time gets the nearest, and the first of a run of these has a clock record before it.
 */
export function nextBatch(unsent: UnsentEvents, rules: BatchRules): LogBatch {
  const { clock, limits } = rules
  const { oldestMs, newestMs } = acceptedTimes(clock)
  const tooOldMs = clock.isKnown ? clock.nowMs - rules.maxAgeMs : -Infinity
  const filling = new Filling(limits, Math.min(unsent.length + 1, limits.maxEvents))
  const tooOld: number[] = []
  let hasFlagged = false
  let taken = 0
  for (; taken < unsent.length && taken < rules.maxTaken; taken += 1) {
    const event = unsent.at(taken)
    if (event === undefined || isLeftOut(event)) continue
    const timeMs = eventTimeMs(event, clock)
    const isDoubtful = isInDoubt(event, clock)
    if (timeMs <= tooOldMs && timeMs > clock.nowMs - wrongClockMs && !isDoubtful) {
      tooOld.push(taken)
      continue
    }
    const timestampMs = timeMs < oldestMs ? oldestMs : timeMs > newestMs ? newestMs : timeMs
    const isFlagged = timestampMs !== timeMs || isDoubtful
    const flag = isFlagged && !hasFlagged && !rules.isFlagged ? clockRecord({ timeMs, timestampMs }) : undefined
    if (!filling.add(event, timestampMs, flag)) break
    hasFlagged ||= isFlagged
  }
  return { ...filling.finish(), taken, tooOld, isFlagged: hasFlagged }
}

/** A batch on the way to its limits. */
class Filling {
  readonly #limits: BatchLimits
  readonly #events: BatchEvents
  #sent = 0
  #bytes = 0
  #firstMs = Infinity
  #lastMs = -Infinity
  #isSorted = true

  constructor(limits: BatchLimits, mostEvents: number) {
    this.#limits = limits
    this.#events = new BatchEvents(mostEvents)
  }

  /** Adds an event, with its clock record before it; false when that would break a limit. */
  add(event: SourceEvent, timestampMs: number, flag: string | undefined): boolean {
    const { maxBytes, maxEvents, spanMs } = this.#limits
    const flagBytes = flag === undefined ? 0 : Buffer.byteLength(flag) + eventOverheadBytes
    const bytes = this.#bytes + event.messageBytes + eventOverheadBytes + flagBytes
    const events = this.#events.length + (flag === undefined ? 1 : 2)
    const firstMs = timestampMs < this.#firstMs ? timestampMs : this.#firstMs
    const lastMs = timestampMs > this.#lastMs ? timestampMs : this.#lastMs
    const isTooMuch = bytes > maxBytes || events > maxEvents || lastMs - firstMs >= spanMs
    if (isTooMuch && this.#sent > 0) return false
    if (timestampMs < this.#lastMs) this.#isSorted = false
    if (flag !== undefined) this.#events.addText(timestampMs, flag)
    this.#events.add(timestampMs, event)
    this.#sent += 1
    this.#bytes = bytes
    this.#firstMs = firstMs
    this.#lastMs = lastMs
    return true
  }

  finish(): Pick<LogBatch, 'events' | 'sent' | 'bytes'> {
    if (!this.#isSorted) this.#events.sort()
    return { events: this.#events, sent: this.#sent, bytes: this.#bytes }
  }
}
