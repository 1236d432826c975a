import type { Log, LogFields } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'

/** The times between which every certificate of a chain is valid, in milliseconds since 1970. */
export interface Validity {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export interface DateSample {
  /** The `Date` header of a response (RFC 9110, section 6.6.1). */
  readonly date: string
  /** When the request was sent and its headers arrived, on the monotonic clock. */
  readonly sentMs: number
  readonly receivedMs: number
  /** Of the certificates behind the connection; undefined for one without TLS. */
  readonly validity?: Validity | undefined
  /** True when TLS could not check those dates, because the system clock lies outside them. */
  readonly datesUnchecked?: boolean
}

export interface ServerClockOptions {
  /** Where the dates of a chain are unchecked, no server is right about a time before the agent was released. */
  readonly releasedAtMs: number
  /** Nor about a time before the last one known. */
  readonly lastKnownMs?: number | undefined
  readonly log: Log
}

const longestRoundTripMs = 60_000
const tolerableMs = 2_000
const warnEveryMs = 600_000

/**
 * Cloud time: the system clock plus the offset learnt from `Date` headers. Small differences count as none, because a
 * `Date` has whole seconds; so an appliance with a synchronised clock keeps its own, finer one. A step of the system
 * clock between two samples (NTP catching up) is seen against the monotonic clock and taken out of the offset.
 */
export class ServerClock {
  readonly #log: Log
  /** When each kind of warning was last given: every answer carries a Date, and a warning is uploaded itself. */
  readonly #warnedMs = new Map<string, number>()
  readonly #releasedAtMs: number
  #notBeforeMs: number
  #offsetMs = 0
  #wallMinusMonotonicMs = Date.now() - monotonicMs()
  #lastKnownMs: number | undefined

  constructor({ releasedAtMs, lastKnownMs = 0, log }: ServerClockOptions) {
    this.#releasedAtMs = releasedAtMs
    this.#notBeforeMs = Math.max(releasedAtMs, lastKnownMs)
    this.#log = log
  }

  /** Cloud time now, in milliseconds since 1970. */
  now(): number {
    return Date.now() + this.offsetMs()
  }

  /** What to add to the system clock. */
  offsetMs(): number {
    const stepMs = Date.now() - monotonicMs() - this.#wallMinusMonotonicMs
    return Math.abs(stepMs) < tolerableMs ? this.#offsetMs : withoutNoise(this.#offsetMs - stepMs)
  }

  /** A moment on the monotonic clock as cloud time, by what is known now. */
  timeOf(atMonotonicMs: number): number {
    return this.now() - (monotonicMs() - atMonotonicMs)
  }

  /** The last cloud time that a server told; undefined until one did. */
  lastKnownMs(): number | undefined {
    return this.#lastKnownMs
  }

  /**
   * Learns from a response. Answers whether the sample was believed: it has to lie inside the validity of the server's
   * certificates and, where TLS could not check that against the system clock, not before what is known already.
   */
  observe({ date, sentMs, receivedMs, validity, datesUnchecked = false }: DateSample): boolean {
    const serverMs = Date.parse(date)
    const roundTripMs = receivedMs - sentMs
    if (Number.isNaN(serverMs) || roundTripMs > longestRoundTripMs) return false
    const isTooEarly = datesUnchecked && serverMs < this.#notBeforeMs
    if (isTooEarly || (validity !== undefined && !isWithin(serverMs, validity))) {
      this.#warn('date of a server is not believed', { date, notBefore: new Date(this.#notBeforeMs).toISOString() })
      return false
    }
    this.#learn(serverMs + 500 + roundTripMs / 2 + (monotonicMs() - receivedMs), roundTripMs)
    return true
  }

  #learn(cloudMs: number, roundTripMs: number): void {
    const beforeMs = this.offsetMs()
    const sampleMs = cloudMs - Date.now()
    const agrees = Math.abs(sampleMs - beforeMs) <= tolerableMs + roundTripMs / 2
    this.#offsetMs = agrees ? beforeMs : withoutNoise(sampleMs)
    this.#wallMinusMonotonicMs = Date.now() - monotonicMs()
    this.#lastKnownMs = cloudMs
    this.#notBeforeMs = Math.max(this.#releasedAtMs, cloudMs - longestRoundTripMs)
    if (!agrees) {
      this.#warn('system clock differs from the cloud', { offsetSeconds: Math.round(this.#offsetMs / 1000) })
    }
  }

  #warn(text: string, fields: LogFields): void {
    const warnedMs = this.#warnedMs.get(text) ?? -Infinity
    if (monotonicMs() - warnedMs < warnEveryMs) return
    this.#warnedMs.set(text, monotonicMs())
    this.#log.warn(text, fields)
  }
}

function withoutNoise(offsetMs: number): number {
  return Math.abs(offsetMs) <= tolerableMs ? 0 : offsetMs
}

function isWithin(timeMs: number, { notBeforeMs, notAfterMs }: Validity): boolean {
  return timeMs >= notBeforeMs && timeMs <= notAfterMs
}
