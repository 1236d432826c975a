import { monotonicMs } from '../../lib/monotonic.ts'
import { statedOrNaN, type SourceEvent } from './source-event.ts'

/** What the times of events are made with. All in milliseconds. */
export interface ClockReading {
  /** The cloud's time, since 1970. */
  readonly nowMs: number
  /** The cloud's clock minus the monotonic clock. */
  readonly offsetMs: number
  /** Whether a server has told the time. */
  readonly isKnown: boolean
  /** Whether the device's clock was seen to be wrong, or to be set while nobody could tell, so that what it stamped before this start is in doubt. */
  readonly wasWrong: boolean
}

export interface EventClockDeps {
  /** The cloud's time in milliseconds since 1970. */
  readonly cloudNow: () => number
  /** How far the cloud's clock is ahead of the device's, and whether a server has told so. Default: by nothing, known. */
  readonly deviceClock?: () => { readonly offsetMs: number; readonly isKnown: boolean }
}

/** Clocks are read in whole milliseconds: a change by less than this is no news, and would swap lines of one moment. */
const clockTrembleMs = 10
/** A clock that is off by less is right: what the network takes is in it. */
const noiseMs = 2_000
const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** Reads the clocks for the times of events. */
export class EventClock {
  readonly #deps: EventClockDeps
  #offsetMs = -Infinity
  #wasWrong = false
  #wallOffsetMs = Date.now() - monotonicMs()

  constructor(deps: EventClockDeps) {
    this.#deps = deps
  }

  read(): ClockReading {
    const nowMs = this.#deps.cloudNow()
    const offsetMs = nowMs - monotonicMs()
    if (Math.abs(offsetMs - this.#offsetMs) >= clockTrembleMs) this.#offsetMs = offsetMs
    const device = this.#deps.deviceClock?.() ?? { offsetMs: 0, isKnown: true }
    const wallOffsetMs = Date.now() - monotonicMs()
    const hasStepped = Math.abs(wallOffsetMs - this.#wallOffsetMs) > noiseMs
    this.#wallOffsetMs = wallOffsetMs
    if (hasStepped || Math.abs(device.offsetMs) > noiseMs) this.#wasWrong = true
    return { nowMs, offsetMs: this.#offsetMs, isKnown: device.isKnown, wasWrong: this.#wasWrong }
  }
}

/** Since when events are wanted, in milliseconds since 1970, by both clocks; undefined while one of them is in doubt. */
export function oldestWantedMs({ nowMs, isKnown, wasWrong }: ClockReading, maxAgeMs: number): number | undefined {
  return isKnown && !wasWrong ? nowMs - maxAgeMs : undefined
}

/** The times that CloudWatch Logs surely takes, an hour from its own bounds ("PutLogEvents", API reference). */
export function acceptedTimes({ nowMs }: ClockReading): { readonly oldestMs: number; readonly newestMs: number } {
  const oldestMs = Math.max(0, Math.floor(nowMs - 14 * dayMs + hourMs) + 1)
  return { oldestMs, newestMs: Math.max(oldestMs, Math.ceil(nowMs + hourMs) - 1) }
}

/**
 * When an event happened, by the cloud's clock: the time that it states, mended by what the device's clock was off when
 * it was written; else when it was read. Not bounded.
 */
export function eventTimeMs(event: SourceEvent, { offsetMs }: ClockReading): number {
  const statedMs = statedOrNaN(event)
  if (!Number.isFinite(statedMs)) return Math.floor(offsetMs + event.atMs)
  const { wallOffsetMs } = event
  if (wallOffsetMs === undefined) return Math.floor(statedMs)
  const wrongByMs = offsetMs - wallOffsetMs
  return Math.floor(Math.abs(wrongByMs) > noiseMs ? statedMs + wrongByMs : statedMs)
}

/** Whether the time that an event states comes from a clock that cannot be mended any more and is in doubt. */
export function isInDoubt(event: SourceEvent, { wasWrong }: ClockReading): boolean {
  return wasWrong && event.statedMs !== undefined && event.wallOffsetMs === undefined
}
