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
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
/** No time goes as far into its line. */
const farthestByte = 64

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
  /** Of a line that is a string. */
  readonly #start = new Uint8Array(farthestByte)

  constructor(timeZone: TimeZone) {
    this.#timeZone = timeZone
  }

  /**
   * Milliseconds since 1970, or undefined when the line begins with no time, or with one that no calendar has.
   * `clockMs`: what the device's clock showed about when the line was written; a time without a year is of the year before it.
   */
  read(line: string, clockMs?: number): number | undefined {
    for (let at = 0; at < farthestByte; at += 1) {
      const code = at < line.length ? line.charCodeAt(at) : 0
      this.#start[at] = code < 0x80 ? code : 0xff // a byte of no time, as the character is of none
    }
    return this.readAt(this.#start, 0, clockMs)
  }

  /** As read, of a line of ASCII or UTF-8 that begins at `start` in `bytes`, and ends there or at a line break. */
  readAt(bytes: Uint8Array, start: number, clockMs?: number): number | undefined {
    const at = bytes[start] === 0x5b ? start + 1 : start
    const first = bytes[at] ?? 0
    if (isDigit(first)) return bytes[at + 4] === 0x2d ? this.#readDate(bytes, at) : readEpoch(bytes, at)
    return first >= 0x41 && first <= 0x53 ? this.#readSyslog(bytes, at, clockMs ?? Date.now()) : undefined
  }

  #readDate(bytes: Uint8Array, at: number): number | undefined {
    const between = byteAt(bytes, at + 10)
    if ((between !== 0x20 && between !== 0x54) || byteAt(bytes, at + 7) !== 0x2d) return undefined
    const year = twoDigits(bytes, at) * 100 + twoDigits(bytes, at + 2)
    const month = twoDigits(bytes, at + 5)
    const day = twoDigits(bytes, at + 8)
    const timeMs = readTime(bytes, at + 11)
    if (timeMs < 0 || year < 1970 || month < 0 || day < 0) return undefined
    const end = fractionEnd(bytes, at + 19)
    const offsetMinutes = readOffset(bytes, end)
    const minutes = offsetMinutes === undefined ? this.#zoned : this.#universal
    const key = ((year * 100 + month) * 100 + day) * 1_440 + Math.floor(timeMs / 60_000)
    if (key !== minutes.key) {
      const date = { year, month, day, minuteOfDay: Math.floor(timeMs / 60_000) }
      minutes.startMs = offsetMinutes === undefined ? this.#inZone(date, minutes.startMs) : inUtc(date)
      minutes.key = key
    }
    const ms = minutes.startMs + (timeMs % 60_000) - (offsetMinutes ?? 0) * 60_000
    return Number.isNaN(ms) || isWordAt(bytes, end, offsetMinutes) ? undefined : ms
  }

  #readSyslog(bytes: Uint8Array, at: number, clockMs: number): number | undefined {
    if (byteAt(bytes, at + 3) !== 0x20 || byteAt(bytes, at + 6) !== 0x20) return undefined
    const month = monthAt(bytes, at)
    const day = byteAt(bytes, at + 4) === 0x20 ? digit(bytes, at + 5) : twoDigits(bytes, at + 4)
    const timeMs = readTime(bytes, at + 7)
    if (month < 1 || day < 0 || timeMs < 0) return undefined
    if (isWordAt(bytes, fractionEnd(bytes, at + 15), undefined)) return undefined
    const date = { month, day, minuteOfDay: Math.floor(timeMs / 60_000) }
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
function readTime(bytes: Uint8Array, at: number): number {
  if (byteAt(bytes, at + 2) !== 0x3a || byteAt(bytes, at + 5) !== 0x3a) return -1
  const hour = twoDigits(bytes, at)
  const minute = twoDigits(bytes, at + 3)
  const second = twoDigits(bytes, at + 6)
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return -1
  return ((hour * 60 + minute) * 60 + Math.min(second, 59)) * 1_000 + readFraction(bytes, at + 8)
}

/** The milliseconds of `.240`, `,240`, `.24` or `.240123`; 0 when there are none. */
function readFraction(bytes: Uint8Array, at: number): number {
  const mark = byteAt(bytes, at)
  if (mark !== 0x2e && mark !== 0x2c) return 0
  const tenths = digit(bytes, at + 1)
  if (tenths < 0) return 0
  const hundredths = digit(bytes, at + 2)
  if (hundredths < 0) return tenths * 100
  return tenths * 100 + hundredths * 10 + Math.max(0, digit(bytes, at + 3))
}

function fractionEnd(bytes: Uint8Array, at: number): number {
  const mark = byteAt(bytes, at)
  if ((mark !== 0x2e && mark !== 0x2c) || !isDigit(byteAt(bytes, at + 1))) return at
  let end = at + 2
  while (end < at + 10 && isDigit(byteAt(bytes, end))) end += 1
  return end
}

/** Minutes ahead of UTC of `Z`, `+hh`, `+hhmm` or `+hh:mm`; undefined when there is none. */
function readOffset(bytes: Uint8Array, at: number): number | undefined {
  const sign = byteAt(bytes, at)
  if (sign === 0x5a) return 0
  if (sign !== 0x2b && sign !== 0x2d) return undefined
  const hours = twoDigits(bytes, at + 1)
  const minutes = Math.max(0, twoDigits(bytes, at + (byteAt(bytes, at + 3) === 0x3a ? 4 : 3)))
  if (hours < 0 || hours > 18 || minutes > 59) return undefined
  return (sign === 0x2b ? 1 : -1) * (hours * 60 + minutes)
}

/** Whether a letter or digit follows at once, so that what was read is a part of something else. */
function isWordAt(bytes: Uint8Array, at: number, offsetMinutes: number | undefined): boolean {
  return offsetMinutes === undefined && isWord(byteAt(bytes, at))
}

function readEpoch(bytes: Uint8Array, at: number): number | undefined {
  let whole = 0
  let end = at
  for (; end < at + 14 && isDigit(byteAt(bytes, end)); end += 1) whole = whole * 10 + digit(bytes, end)
  const isSeconds = end - at === 10
  if (!isSeconds && end - at !== 13) return undefined
  const ms = isSeconds ? whole * 1_000 + readFraction(bytes, end) : whole
  const next = byteAt(bytes, fractionEnd(bytes, end))
  if (isWord(next) || next === 0x2d || next === 0x2e || ms < minEpochMs || ms > maxEpochMs) return undefined
  return ms
}

function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = byteAt(bytes, at)
  const ones = byteAt(bytes, at + 1)
  return isDigit(tens) && isDigit(ones) ? (tens - 0x30) * 10 + ones - 0x30 : -1_000
}

/** 1 to 12, or 0. */
function monthAt(bytes: Uint8Array, at: number): number {
  return months.indexOf(String.fromCharCode(byteAt(bytes, at), byteAt(bytes, at + 1), byteAt(bytes, at + 2))) + 1
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

function digit(bytes: Uint8Array, at: number): number {
  const code = byteAt(bytes, at)
  return isDigit(code) ? code - 0x30 : -1
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isWord(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f
}
