import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { ServerClock, type Validity } from '../../../agent/credentials/server-clock.ts'
import { monotonicMs } from '../../../agent/lib/monotonic.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const trueMs = Date.UTC(2027, 5, 1, 12, 0, 0)
const releasedMs = Date.UTC(2026, 10, 24)
const yearMs = 365 * 86_400_000

beforeEach(() => {
  vi.useFakeTimers({ now: trueMs })
})

afterEach(() => {
  vi.useRealTimers()
})

interface Answer {
  readonly validity?: Validity
  readonly roundTripMs?: number
  readonly datesUnchecked?: boolean
}

function clockThatShows(nowMs: number, lastKnownMs?: number): { clock: ServerClock; log: RecordingLog } {
  vi.setSystemTime(nowMs)
  const log = new RecordingLog()
  return { clock: new ServerClock({ releasedAtMs: releasedMs, lastKnownMs, log }), log }
}

/** Lets the clock see the answer of a server that knows the time `cloudMs`. */
function answer(clock: ServerClock, cloudMs: number, given: Answer = {}): boolean {
  const { validity, roundTripMs = 100, datesUnchecked = false } = given
  const receivedMs = monotonicMs()
  return clock.observe({
    date: new Date(cloudMs).toUTCString(),
    sentMs: receivedMs - roundTripMs,
    receivedMs,
    validity,
    datesUnchecked,
  })
}

function secondsOff(clock: ServerClock, cloudMs: number): number {
  return Math.abs(clock.now() - cloudMs) / 1000
}

describe('learning', () => {
  test('goes by the system clock until a server has told the time', () => {
    const { clock } = clockThatShows(trueMs)
    expect(clock.now()).toBe(trueMs)
    expect(clock.lastKnownMs()).toBeUndefined()
  })

  test.each([0, 999, -999, 1_900, -1_400])('keeps the system clock when it is %d ms off, and says nothing', (offMs) => {
    const { clock, log } = clockThatShows(trueMs + offMs)
    expect(answer(clock, trueMs)).toBe(true)
    expect(clock.offsetMs()).toBe(0)
    expect(log.entries).toEqual([])
  })

  test.each([
    ['a year behind', -yearMs],
    ['a year ahead', yearMs],
    ['five hours behind', -5 * 3_600_000],
    ['ten seconds ahead', 10_000],
    ['at its epoch', -trueMs],
  ])('learns the time when the system clock is %s, and says so once', (_, offMs) => {
    const { clock, log } = clockThatShows(trueMs + offMs)
    expect(answer(clock, trueMs)).toBe(true)
    expect(secondsOff(clock, trueMs)).toBeLessThan(1)
    for (let second = 1; second < 60; second += 1) {
      vi.advanceTimersByTime(1_000)
      expect(answer(clock, trueMs + second * 1_000)).toBe(true)
    }
    expect(secondsOff(clock, trueMs + 59_000)).toBeLessThan(1)
    expect(log.messages('warn')).toEqual(['system clock differs from the cloud'])
  })

  test('does not wander with the whole seconds of a Date', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    answer(clock, trueMs)
    const offsetMs = clock.offsetMs()
    for (let step = 1; step < 100; step += 1) {
      vi.advanceTimersByTime(137)
      answer(clock, trueMs + step * 137)
    }
    expect(clock.offsetMs()).toBe(offsetMs)
  })

  test('takes the time from the middle of the round trip', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    answer(clock, trueMs - 10_000, { roundTripMs: 20_000 })
    expect(secondsOff(clock, trueMs)).toBeLessThan(1)
  })

  test('counts the time between the answer and its being handed on', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    const receivedMs = monotonicMs()
    vi.advanceTimersByTime(30_000)
    clock.observe({ date: new Date(trueMs).toUTCString(), sentMs: receivedMs, receivedMs })
    expect(secondsOff(clock, trueMs + 30_000)).toBeLessThan(1)
  })

  test('tells the last time that a server told', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    answer(clock, trueMs)
    expect(Math.abs((clock.lastKnownMs() ?? 0) - trueMs)).toBeLessThan(1_000)
  })
})

describe('a step of the system clock', () => {
  test('to the right time is taken out of the offset at once', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    answer(clock, trueMs)
    vi.setSystemTime(trueMs)
    expect(secondsOff(clock, trueMs)).toBeLessThan(1)
    expect(clock.offsetMs()).toBe(0)
  })

  test.each([yearMs, -yearMs, 10_000])('by %d ms does not move cloud time', (stepMs) => {
    const { clock } = clockThatShows(trueMs)
    answer(clock, trueMs)
    vi.advanceTimersByTime(60_000)
    vi.setSystemTime(trueMs + 60_000 + stepMs)
    expect(secondsOff(clock, trueMs + 60_000)).toBeLessThan(1)
    answer(clock, trueMs + 60_000)
    expect(secondsOff(clock, trueMs + 60_000)).toBeLessThan(1)
  })

  test('before the first sample does not spoil what the sample teaches', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    vi.setSystemTime(trueMs + yearMs)
    answer(clock, trueMs)
    expect(secondsOff(clock, trueMs)).toBeLessThan(1)
  })
})

describe('disbelief', () => {
  const unchecked = { datesUnchecked: true }

  test('refuses a Date before the release, where TLS checked no dates, and keeps what it knows', () => {
    const { clock, log } = clockThatShows(trueMs)
    expect(answer(clock, releasedMs - 1_000, unchecked)).toBe(false)
    expect(clock.offsetMs()).toBe(0)
    expect(log.messages('warn')).toEqual(['date of a server is not believed'])
  })

  test('warns once in ten minutes, because a warning is uploaded and its answer carries a Date again', () => {
    const { clock, log } = clockThatShows(trueMs)
    for (let minute = 0; minute < 25; minute += 1) {
      answer(clock, releasedMs - 1_000, unchecked)
      vi.advanceTimersByTime(60_000)
    }
    expect(log.messages('warn')).toHaveLength(3)
  })

  test('refuses a Date before what a server has told already, where TLS checked no dates', () => {
    const { clock } = clockThatShows(trueMs)
    answer(clock, trueMs)
    expect(answer(clock, trueMs - 3_600_000, unchecked)).toBe(false)
    expect(clock.offsetMs()).toBe(0)
  })

  test('refuses a Date before the last time known to an earlier run, where TLS checked no dates', () => {
    const { clock } = clockThatShows(trueMs, trueMs)
    expect(answer(clock, trueMs - 1_000, unchecked)).toBe(false)
    expect(answer(clock, trueMs + 1_000, unchecked)).toBe(true)
  })

  test('comes back from a time in the future as soon as a server that TLS checked tells the right one', () => {
    const { clock } = clockThatShows(trueMs)
    answer(clock, trueMs + yearMs)
    expect(answer(clock, trueMs)).toBe(true)
    expect(secondsOff(clock, trueMs)).toBeLessThan(1)
    expect(answer(clock, trueMs + 1_000, unchecked)).toBe(true)
  })

  test('takes a Date of another server that is some seconds behind', () => {
    const { clock } = clockThatShows(trueMs)
    answer(clock, trueMs)
    expect(answer(clock, trueMs - 30_000)).toBe(true)
  })

  test.each([
    ['before', -1_000],
    ['after', 86_400_000 + 1_000],
  ])('refuses a Date %s the validity of the chain that told it', (_, outsideMs) => {
    const { clock } = clockThatShows(trueMs - yearMs)
    const validity = { notBeforeMs: trueMs, notAfterMs: trueMs + 86_400_000 }
    expect(answer(clock, trueMs + outsideMs, { validity })).toBe(false)
    expect(clock.lastKnownMs()).toBeUndefined()
    expect(answer(clock, trueMs + 1_000, { validity })).toBe(true)
  })

  test('ignores an answer that took more than a minute', () => {
    const { clock } = clockThatShows(trueMs - yearMs)
    expect(answer(clock, trueMs, { roundTripMs: 60_001 })).toBe(false)
    expect(clock.offsetMs()).toBe(0)
  })

  test.each(['', 'yesterday', 'Mon, 99 Foo 2027'])('ignores the Date %j', (date) => {
    const { clock } = clockThatShows(trueMs)
    expect(clock.observe({ date, sentMs: 0, receivedMs: 1 })).toBe(false)
  })
})

test('tells the cloud time of a moment on the monotonic clock, also of one before the time was known', () => {
  const { clock } = clockThatShows(trueMs - yearMs)
  const momentMs = monotonicMs()
  vi.advanceTimersByTime(600_000)
  answer(clock, trueMs + 600_000)
  expect(Math.abs(clock.timeOf(momentMs) - trueMs)).toBeLessThan(1_000)
})
