import { done, type Outcome } from './outcome.ts'
import type { SystemClock } from './system-clock.ts'

export interface ClockRequest {
  /** An instant in UTC, as `2027-01-31T12:00:00Z`, or seconds since 1970; either with milliseconds. */
  readonly argument: string
  /** When it was written, by the clock that is to be set. */
  readonly writtenMs: number
  /** When the package was built. */
  readonly releasedAtMs: number
}

const longestAgeMs = 10_000
const believableYears = 20
const yearMs = 365.25 * 86_400_000

/**
 * Sets the clock of the machine. Refuses an instant before the package was made or 20 years after it, one that has been
 * lying around, and any while an NTP client keeps the clock right: who is synchronised needs no advice.
 */
export function setClock({ argument, writtenMs, releasedAtMs }: ClockRequest, clock: SystemClock): Outcome {
  const instantMs = parseInstant(argument)
  if (instantMs === undefined) return { result: 'refused', code: 'not-an-instant' }
  if (instantMs < releasedAtMs) return { result: 'refused', code: 'before-the-release' }
  if (instantMs > releasedAtMs + believableYears * yearMs) return { result: 'refused', code: 'too-far-ahead' }
  const ageMs = clock.nowMs() - writtenMs
  if (Math.abs(ageMs) > longestAgeMs) return { result: 'refused', code: 'too-old' }
  if (clock.isSynchronised()) return { result: 'refused', code: 'clock-is-synchronised' }
  return clock.set(instantMs + Math.max(0, ageMs)) ? done : { result: 'failed', code: 'clock-not-set' }
}

/** Milliseconds since 1970; undefined when the text is neither form, or names a day that no month has. */
export function parseInstant(text: string): number | undefined {
  if (/^\d{1,11}(\.\d{1,3})?$/.test(text)) return Math.round(Number(text) * 1_000)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text)) return undefined
  const timeMs = Date.parse(text)
  if (Number.isNaN(timeMs)) return undefined
  const secondsLength = 19 // of 2027-01-31T12:00:00
  return new Date(timeMs).toISOString().slice(0, secondsLength) === text.slice(0, secondsLength) ? timeMs : undefined
}
