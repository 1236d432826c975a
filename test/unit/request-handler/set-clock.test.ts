import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseInstant, setClock } from '../../../agent/request-handler/set-clock.ts'

const releasedAtMs = Date.UTC(2026, 10, 24)
const nowMs = Date.UTC(1970, 0, 3)
const instant = '2027-06-01T12:00:00Z'

function set(argument: string, change: { writtenMs?: number; isSynchronised?: boolean; obeys?: boolean } = {}) {
  const { writtenMs = nowMs, isSynchronised = false, obeys = true } = change
  const sets: number[] = []
  const outcome = setClock(
    { argument, writtenMs, releasedAtMs },
    {
      nowMs: () => nowMs,
      isSynchronised: () => isSynchronised,
      set: (timeMs) => obeys && sets.push(timeMs) > 0,
    },
  )
  return { ...outcome, sets }
}

test.each([
  ['2027-06-01T12:00:00Z', Date.UTC(2027, 5, 1, 12)],
  ['2027-06-01T12:00:00.250Z', Date.UTC(2027, 5, 1, 12) + 250],
  ['1811937600', 1_811_937_600_000],
  ['1811937600.5', 1_811_937_600_500],
  ['0', 0],
])('reads %s as an instant', (text, timeMs) => {
  expect(parseInstant(text)).toBe(timeMs)
})

test.each([
  '',
  'now',
  '-1',
  '1e9',
  '0x10',
  '1811937600000',
  '1.2345',
  '1.',
  '.5',
  '2027-06-01',
  '2027-06-01T12:00Z',
  '2027-06-01T12:00:00',
  '2027-06-01T12:00:00-05:00',
  '2027-02-30T00:00:00Z',
  '2027-13-01T00:00:00Z',
  '2027-06-01T25:00:00Z',
  '2027-06-01T24:00:00Z',
  '2027-06-01T12:60:00Z',
  '2027-06-01T12:00:00z',
  '2027-06-01T12:00:00ZZ',
])('finds no instant in %j', (text) => {
  expect(parseInstant(text)).toBeUndefined()
  expect(set(text)).toEqual({ result: 'refused', code: 'not-an-instant', sets: [] })
})

test('sets the clock to the instant', () => {
  expect(set(instant)).toEqual({ result: 'done', code: 'ok', sets: [Date.UTC(2027, 5, 1, 12)] })
})

test('adds the time that the request has been waiting', () => {
  expect(set(instant, { writtenMs: nowMs - 3_000 }).sets).toEqual([Date.UTC(2027, 5, 1, 12) + 3_000])
})

test.each([
  { what: 'a time before the release', argument: '2026-11-23T23:59:59Z', code: 'before-the-release' },
  { what: 'the beginning of time', argument: '0', code: 'before-the-release' },
  { what: 'a time 20 years after the release', argument: '2046-11-25T00:00:00Z', code: 'too-far-ahead' },
  { what: 'the end of time', argument: '99999999999', code: 'too-far-ahead' },
])('refuses $what', ({ argument, code }) => {
  expect(set(argument)).toEqual({ result: 'refused', code, sets: [] })
})

test.each([nowMs - 11_000, nowMs + 11_000, 0])(
  'refuses what was written long ago, or is yet to be: %d',
  (writtenMs) => {
    expect(set(instant, { writtenMs })).toEqual({ result: 'refused', code: 'too-old', sets: [] })
  },
)

test('refuses while an NTP client keeps the clock', () => {
  const outcome = set(instant, { isSynchronised: true })
  expect(outcome).toEqual({ result: 'refused', code: 'clock-is-synchronised', sets: [] })
})

test('says when the kernel does not take it', () => {
  expect(set(instant, { obeys: false })).toEqual({ result: 'failed', code: 'clock-not-set', sets: [] })
})

test('sets no time outside of the 20 years, whatever is asked for', () => {
  const argument = fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9@._:-]{1,128}$/),
    fc.nat(99_999_999_999).map(String),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  )
  fc.assert(
    fc.property(argument, (text) => {
      for (const timeMs of set(text).sets) {
        expect(timeMs).toBeGreaterThanOrEqual(releasedAtMs)
        expect(timeMs).toBeLessThan(Date.UTC(2046, 10, 25))
      }
    }),
  )
})
