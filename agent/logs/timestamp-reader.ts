export type TimeZone = 'local' | 'utc'

/** Turns the year to the minute into milliseconds since 1970, remembering the last answer. */
interface Minutes {
  key: number
  startMs: number
}

const maxEpochMs = 4_102_444_800_000
/** A number below is a number: no device with these logs is older (2015). */
const minEpochMs = 1_420_070_400_000
const dayMs = 86_400_000
const months = 'JanFebMarAprMayJunJulAugSepOctNovDec'

/**
 * Reads the time that a log line begins with, also in [brackets]: `2022-08-26 17:43:39`, with a fraction after `.` or
 * `,`; ISO 8601 with `T`, fraction, `Z` or offset; `Feb 14 11:53:09` (RFC 3164); seconds since 1970 with or without a
 * fraction, and milliseconds. What states no offset is in the time zone of the reader. Made for one file: hours that a
 * clock passes twice are told apart by what came before.
 */
export class TimestampReader {
  readonly #timeZone: TimeZone
  readonly #zoned: Minutes = { key: NaN, startMs: NaN }
  readonly #universal: Minutes = { key: NaN, startMs: NaN }
  readonly #syslog: Minutes = { key: NaN, startMs: NaN }
  #syslogClockMs = NaN

  constructor(timeZone: TimeZone) {
    this.#timeZone = timeZone
  }

  /**
   * Milliseconds since 1970, or undefined when the line begins with no time, or with one that no calendar has.
   * `clockMs`: what the device's clock showed about when the line was written; a time without a year is of the year before it.
   */
  read(line: string, clockMs = Date.now()): number | undefined {
    const at = line.charCodeAt(0) === 0x5b ? 1 : 0
    const first = line.charCodeAt(at)
    if (isDigit(first)) return line.charCodeAt(at + 4) === 0x2d ? this.#readDate(line, at) : readEpoch(line, at)
    return first >= 0x41 && first <= 0x53 ? this.#readSyslog(line, at, clockMs) : undefined
  }

  #readDate(line: string, at: number): number | undefined {
    const between = line.charCodeAt(at + 10)
    if ((between !== 0x20 && between !== 0x54) || line.charCodeAt(at + 7) !== 0x2d) return undefined
    const year = twoDigits(line, at) * 100 + twoDigits(line, at + 2)
    const month = twoDigits(line, at + 5)
    const day = twoDigits(line, at + 8)
    const timeMs = readTime(line, at + 11)
    if (timeMs < 0 || year < 1970 || month < 0 || day < 0) return undefined
    const end = fractionEnd(line, at + 19)
    const offsetMinutes = readOffset(line, end)
    const minutes = offsetMinutes === undefined ? this.#zoned : this.#universal
    const key = ((year * 100 + month) * 100 + day) * 1_440 + Math.floor(timeMs / 60_000)
    if (key !== minutes.key) {
      const date = { year, month, day, minuteOfDay: Math.floor(timeMs / 60_000) }
      minutes.startMs = offsetMinutes === undefined ? this.#inZone(date, minutes.startMs) : inUtc(date)
      minutes.key = key
    }
    const ms = minutes.startMs + (timeMs % 60_000) - (offsetMinutes ?? 0) * 60_000
    return Number.isNaN(ms) || isWordAt(line, end, offsetMinutes) ? undefined : ms
  }

  #readSyslog(line: string, at: number, clockMs: number): number | undefined {
    if (line.charCodeAt(at + 3) !== 0x20 || line.charCodeAt(at + 6) !== 0x20) return undefined
    const monthAt = months.indexOf(line.slice(at, at + 3))
    const day = line.charCodeAt(at + 4) === 0x20 ? digit(line, at + 5) : twoDigits(line, at + 4)
    const timeMs = readTime(line, at + 7)
    if (monthAt < 0 || monthAt % 3 !== 0 || day < 0 || timeMs < 0) return undefined
    if (isWordAt(line, fractionEnd(line, at + 15), undefined)) return undefined
    const date = { month: monthAt / 3 + 1, day, minuteOfDay: Math.floor(timeMs / 60_000) }
    const key = (date.month * 100 + day) * 1_440 + date.minuteOfDay
    if (key !== this.#syslog.key || Math.abs(clockMs - this.#syslogClockMs) > dayMs) {
      this.#syslog.startMs = this.#inLikelyYear(date, clockMs)
      this.#syslogClockMs = clockMs
      this.#syslog.key = key
    }
    const ms = this.#syslog.startMs + (timeMs % 60_000)
    return Number.isNaN(ms) ? undefined : ms
  }

  /** The latest year in which it is at most a day ahead of the device's clock. */
  #inLikelyYear(date: Omit<DateMinute, 'year'>, clockMs: number): number {
    const latestMs = clockMs + dayMs
    const beforeMs = this.#syslog.startMs
    const thisYear = new Date(latestMs).getFullYear()
    for (const year of [thisYear, thisYear - 1]) {
      const ms = this.#inZone({ ...date, year }, beforeMs)
      if (ms <= latestMs) return ms
    }
    return NaN
  }

  #inZone(date: DateMinute, beforeMs: number): number {
    const utcMs = inUtc(date)
    if (this.#timeZone === 'utc' || Number.isNaN(utcMs)) return utcMs
    const { year, month, day, minuteOfDay } = date
    const ms = new Date(year, month - 1, day, 0, minuteOfDay).getTime()
    const isStepBack = beforeMs - ms >= 60_000
    if (!isStepBack) return ms
    // When clocks are put back, an hour, or half of one, comes twice.
    for (const laterMs of [ms + 1_800_000, ms + 3_600_000]) {
      const later = new Date(laterMs)
      if (later.getDate() === day && later.getHours() * 60 + later.getMinutes() === minuteOfDay) return laterMs
    }
    return ms
  }
}

interface DateMinute {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly minuteOfDay: number
}

/** NaN when there is no such day. */
function inUtc({ year, month, day, minuteOfDay }: DateMinute): number {
  const ms = Date.UTC(year, month - 1, day, 0, minuteOfDay)
  const date = new Date(ms)
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? ms : NaN
}

/** Milliseconds since midnight of `hh:mm:ss` with an optional fraction, or -1. Second 60 is a leap second. */
function readTime(line: string, at: number): number {
  if (line.charCodeAt(at + 2) !== 0x3a || line.charCodeAt(at + 5) !== 0x3a) return -1
  const hour = twoDigits(line, at)
  const minute = twoDigits(line, at + 3)
  const second = twoDigits(line, at + 6)
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return -1
  return ((hour * 60 + minute) * 60 + Math.min(second, 59)) * 1_000 + readFraction(line, at + 8)
}

/** The milliseconds of `.240`, `,240`, `.24` or `.240123`; 0 when there are none. */
function readFraction(line: string, at: number): number {
  const mark = line.charCodeAt(at)
  if (mark !== 0x2e && mark !== 0x2c) return 0
  const tenths = digit(line, at + 1)
  if (tenths < 0) return 0
  const hundredths = digit(line, at + 2)
  if (hundredths < 0) return tenths * 100
  return tenths * 100 + hundredths * 10 + Math.max(0, digit(line, at + 3))
}

function fractionEnd(line: string, at: number): number {
  const mark = line.charCodeAt(at)
  if ((mark !== 0x2e && mark !== 0x2c) || !isDigit(line.charCodeAt(at + 1))) return at
  let end = at + 2
  while (end < at + 10 && isDigit(line.charCodeAt(end))) end += 1
  return end
}

/** Minutes ahead of UTC of `Z`, `+hh`, `+hhmm` or `+hh:mm`; undefined when there is none. */
function readOffset(line: string, at: number): number | undefined {
  const sign = line.charCodeAt(at)
  if (sign === 0x5a) return 0
  if (sign !== 0x2b && sign !== 0x2d) return undefined
  const hours = twoDigits(line, at + 1)
  const minutes = Math.max(0, twoDigits(line, at + (line.charCodeAt(at + 3) === 0x3a ? 4 : 3)))
  if (hours < 0 || hours > 18 || minutes > 59) return undefined
  return (sign === 0x2b ? 1 : -1) * (hours * 60 + minutes)
}

/** Whether a letter or digit follows at once, so that what was read is a part of something else. */
function isWordAt(line: string, at: number, offsetMinutes: number | undefined): boolean {
  return offsetMinutes === undefined && isWord(line.charCodeAt(at))
}

function readEpoch(line: string, at: number): number | undefined {
  let whole = 0
  let end = at
  for (; end < at + 14 && isDigit(line.charCodeAt(end)); end += 1) whole = whole * 10 + digit(line, end)
  const isSeconds = end - at === 10
  if (!isSeconds && end - at !== 13) return undefined
  const ms = isSeconds ? whole * 1_000 + readFraction(line, end) : whole
  const next = line.charCodeAt(fractionEnd(line, end))
  if (isWord(next) || next === 0x2d || next === 0x2e || ms < minEpochMs || ms > maxEpochMs) return undefined
  return ms
}

function twoDigits(line: string, at: number): number {
  const tens = line.charCodeAt(at)
  const ones = line.charCodeAt(at + 1)
  return isDigit(tens) && isDigit(ones) ? (tens - 0x30) * 10 + ones - 0x30 : -1_000
}

function digit(line: string, at: number): number {
  const code = line.charCodeAt(at)
  return isDigit(code) ? code - 0x30 : -1
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isWord(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f
}
