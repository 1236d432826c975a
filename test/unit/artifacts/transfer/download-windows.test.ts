import fc from 'fast-check'
import { expect, it } from 'vitest'

import { msUntilOpen } from '../../../../agent/artifacts/transfer/download-windows.ts'

const at = (hours: number, minutes: number): Date => new Date(2026, 10, 24, hours, minutes)
const hours = 3_600_000

it('is always open without windows', () => {
  expect(msUntilOpen([], at(12, 0))).toBe(0)
})

it.each([
  [0, 59, 60_000],
  [1, 0, 0],
  [4, 59, 0],
  [5, 0, 20 * hours],
])('is open from 01:00 to 05:00: at %i:%i it is so in %i ms', (hour, minute, ms) => {
  expect(msUntilOpen([{ from: '01:00', to: '05:00' }], at(hour, minute))).toBe(ms)
})

it.each([
  [21, 59, 60_000],
  [22, 0, 0],
  [0, 0, 0],
  [5, 59, 0],
  [6, 0, 16 * hours],
])('reaches over midnight, from 22:00 to 06:00: at %i:%i it is so in %i ms', (hour, minute, ms) => {
  expect(msUntilOpen([{ from: '22:00', to: '06:00' }], at(hour, minute))).toBe(ms)
})

it('takes the next of several windows', () => {
  const windows = [
    { from: '20:00', to: '21:00' },
    { from: '13:00', to: '14:00' },
  ]
  expect(msUntilOpen(windows, at(12, 0))).toBe(hours)
  expect(msUntilOpen(windows, at(20, 30))).toBe(0)
})

it('never waits for longer than a day, and is open when the wait is over', () => {
  const time = fc.tuple(fc.nat(23), fc.nat(59))
  const text = ([hour, minute]: readonly [number, number]): string =>
    `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`
  fc.assert(
    fc.property(time, time, time, (from, to, [hour, minute]) => {
      fc.pre(text(from) !== text(to))
      const windows = [{ from: text(from), to: text(to) }]
      const waitMs = msUntilOpen(windows, at(hour, minute))
      expect(waitMs).toBeLessThan(24 * hours)
      expect(msUntilOpen(windows, new Date(at(hour, minute).getTime() + waitMs))).toBe(0)
    }),
  )
})
