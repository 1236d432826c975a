import { createHash } from 'node:crypto'

import { detectLevel } from '../events/log-level.ts'
import { eventTimeMs, type ClockReading, type EventClock } from '../events/event-clock.ts'
import { EventQueue } from './event-queue.ts'
import { LeftOut, sourceOf } from './left-out.ts'
import { nextBatch, putLogEventsLimits, type LogBatch } from './log-batch.ts'
import type { EventColumns, LogTarget, RejectedEvents } from '../log-destination.ts'
import type { GapRecord } from '../log-source.ts'
import type { LogTally } from '../log-tally.ts'
import type { Parcel } from './parcel.ts'
import { isLeftOut, keptEvent, type LogLevel, type SourceEvent } from '../events/source-event.ts'
import { Suspects } from './suspects.ts'

export interface StreamQueueDeps {
  readonly target: LogTarget
  readonly clock: EventClock
  readonly tally: LogTally
  readonly onGap: (gap: GapRecord) => void
  /** Events that are older are left out. */
  readonly maxAgeMs: number
  /** Lower levels are left out while the stream is behind. */
  readonly minLevelWhenBehind: LogLevel
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']
/** A stream is behind when so much waits at its sources, until no more than that is left. */
const behindBytes = { from: 4 * putLogEventsLimits.maxBytes, until: putLogEventsLimits.maxBytes }
/** After so many events given up in a row it may not be the events: from then on none is without proof that it is. */
const maxRefusedInARow = 3
const clockMovedMs = 60_000
const digestLength = 16

/** The events that one stream holds, in order, and what becomes of them. */
export class StreamQueue {
  readonly #deps: StreamQueueDeps
  readonly #queue = new EventQueue()
  readonly #suspects = new Suspects()
  readonly #minLevel: number
  #isFlagged = false
  #isBehind = false
  /** Events without their message. */
  #heldLeftOut = 0
  #refusedInARow = 0
  #hasProof = false

  constructor(deps: StreamQueueDeps) {
    this.#deps = deps
    this.#minLevel = levels.indexOf(deps.minLevelWhenBehind)
  }

  get length(): number {
    return this.#queue.length
  }

  /** As `BatchLimits.maxBytes` counts. */
  get heldBytes(): number {
    return this.#queue.heldBytes
  }

  /** Whether lower levels are left out, or what was left out waits for events before it. */
  get isLeavingOut(): boolean {
    return this.#isBehind || this.#heldLeftOut > 0
  }

  /** Whether it looks for an event that a batch was refused for. */
  get isSearching(): boolean {
    return this.#suspects.limit !== Infinity
  }

  /** How long ago the oldest event happened; 0 when there is none. */
  get lagMs(): number {
    const oldest = this.#queue.at(0)
    if (oldest === undefined) return 0
    const clock = this.#deps.clock.read()
    return Math.max(0, clock.nowMs - eventTimeMs(oldest, clock))
  }

  /** Oldest first. */
  held(): readonly SourceEvent[] {
    return Array.from({ length: this.#queue.length }, (_, index) => {
      const event = this.#queue.at(index)
      return event === undefined ? [] : [keptEvent(event)]
    }).flat()
  }

  offer(event: SourceEvent): void {
    const isLow = this.#isBehind && this.#isLow(event)
    if (isLow) this.#heldLeftOut += 1
    this.#queue.push(isLow ? { ...keptEvent(event), message: '' } : event)
  }

  /** How much there is at its sources that was not accepted. */
  noteBacklog(bytes: number): void {
    this.#isBehind = this.#isBehind ? bytes > behindBytes.until : bytes >= behindBytes.from
  }

  /** The stream took something else since: what it refuses is at fault itself. */
  noteOtherAccepted(): void {
    this.#hasProof = true
  }

  /** What is to be sent next. Only one at a time. */
  parcel(maxBytes: number): Parcel {
    const clock = this.#deps.clock.read()
    const batch = nextBatch(this.#queue, {
      clock,
      limits: { ...putLogEventsLimits, maxBytes },
      maxAgeMs: this.#deps.maxAgeMs,
      maxTaken: this.#suspects.limit,
      isFlagged: this.#isFlagged,
    })
    return {
      batch,
      accepted: (rejected) => {
        if (!this.#isMadeByWrongClock(batch, clock, rejected)) this.#accepted(batch, clock, rejected)
      },
      refused: () => this.#refused(batch, clock),
      putBack: () => undefined,
    }
  }

  #isLow(event: SourceEvent): boolean {
    if (this.#minLevel === 0) return false
    const known = event.level ?? detectLevel(event.message)
    return known !== undefined && levels.indexOf(known) < this.#minLevel
  }

  /** Nothing was stored, and the clock that the times were made with was set right meanwhile. */
  #isMadeByWrongClock({ events }: LogBatch, { offsetMs }: ClockReading, rejected: RejectedEvents): boolean {
    if (events.length === 0 || countOf(rejected) < events.length) return false
    return Math.abs(this.#deps.clock.read().offsetMs - offsetMs) >= clockMovedMs
  }

  #accepted(batch: LogBatch, clock: ClockReading, rejected: RejectedEvents): void {
    const { tally } = this.#deps
    if (batch.sent > 0) {
      this.#refusedInARow = 0
      this.#isFlagged = batch.isFlagged
    }
    this.#take(batch, clock)
    tally.accepted(batch.events.length - countOf(rejected))
    tally.lost(rejected)
    if (countOf(rejected) > 0) this.#deps.onGap(rejectedGap(this.#deps.target, batch.events, rejected))
  }

  /** Removes what the batch took, telling the origins, and counts what of it was left out. */
  #take({ taken, tooOld }: LogBatch, clock: ClockReading): void {
    const { target, onGap } = this.#deps
    const leftOut = new LeftOut(target)
    let nextTooOld = 0
    this.#suspects.passed(taken)
    this.#queue.shift(taken, (event, index) => {
      event.origin?.accepted(event.position)
      if (isLeftOut(event)) {
        this.#heldLeftOut -= 1
        leftOut.add(event, eventTimeMs(event, clock), 'level')
      }
      if (index !== tooOld[nextTooOld]) return
      nextTooOld += 1
      leftOut.add(event, eventTimeMs(event, clock), 'too far behind')
    })
    for (const gap of leftOut.gaps) onGap(gap)
  }

  #refused(batch: LogBatch, clock: ClockReading): 'again' | 'failed' {
    if (batch.sent > 1) {
      this.#suspects.refused(batch.taken)
      return 'again'
    }
    if (this.#refusedInARow >= maxRefusedInARow && !this.#hasProof) {
      // A stream that takes nothing at all, not even the records of what was given up, would lose everything it is sent.
      this.#suspects.refused(batch.taken)
      return 'failed'
    }
    this.#quarantine(batch, clock)
    this.#hasProof = false
    this.#refusedInARow += 1
    return this.#refusedInARow > maxRefusedInARow ? 'failed' : 'again'
  }

  /** Gives up the one event of a batch: told by size and digest, because what is in it was the trouble. */
  #quarantine(batch: LogBatch, clock: ClockReading): void {
    const { target, tally, onGap } = this.#deps
    const event = this.held().find(({ message }, index) => message !== '' && !batch.tooOld.includes(index))
    this.#suspects.found()
    this.#take(batch, clock)
    if (event === undefined) return
    const timeMs = eventTimeMs(event, clock)
    const digest = createHash('sha256').update(event.message).digest('hex').slice(0, digestLength)
    const source = `${sourceOf(event, target)} (event with sha256 ${digest}...)`
    tally.lost({ refused: 1 })
    onGap({
      target,
      source,
      reason: 'refused',
      bytes: event.messageBytes,
      lines: 1,
      firstMs: timeMs,
      lastMs: timeMs,
    })
  }
}

function countOf({ tooOld, tooNew, expired }: RejectedEvents): number {
  return tooOld + tooNew + expired
}

/** Batches are in order of time: the first are those that are too old or expired, the last those that are too new. */
function rejectedGap(target: LogTarget, events: EventColumns, rejected: RejectedEvents): GapRecord {
  const firstLate = events.length - rejected.tooNew
  const indexes = Array.from({ length: events.length }, (_, index) => index)
  const all = indexes.filter((index) => index < rejected.tooOld + rejected.expired || index >= firstLate)
  const times = all.map((index) => events.timestampMs(index))
  return {
    target,
    source: target.stream,
    reason: 'refused',
    bytes: all.reduce((sum, index) => sum + events.messageBytes(index), 0),
    lines: all.length,
    firstMs: times[0] ?? 0,
    lastMs: times.at(-1) ?? 0,
  }
}
