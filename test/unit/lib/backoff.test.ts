import fc from 'fast-check'
import { expect, test } from 'vitest'

import { backoffMs, jittered } from '../../../agent/lib/backoff.ts'

const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('waits between a tenth of the base and the cap, however often it failed', () => {
  const attempts = fc.integer({ min: 0, max: 100_000 })
  const bases = fc.integer({ min: 1, max: 60_000 })
  fc.assert(
    fc.property(attempts, bases, draw, (attempt, baseMs, drawn) => {
      const waitMs = backoffMs(attempt, { baseMs, capMs: 60_000 }, () => drawn)
      expect(waitMs).toBeGreaterThanOrEqual(baseMs / 10)
      expect(waitMs).toBeLessThanOrEqual(60_000)
    }),
  )
})

test('doubles the bound with every attempt until the cap', () => {
  const bounds = [0, 1, 2, 3, 4].map((attempt) => backoffMs(attempt, { baseMs: 1000, capMs: 5000 }, () => 1))
  expect(bounds).toEqual([1000, 2000, 4000, 5000, 5000])
})

test('lets the bound grow by the factor that it is given', () => {
  const backoff = { baseMs: 1000, capMs: 3000, factor: 1.5 }
  expect([0, 1, 2, 3].map((attempt) => backoffMs(attempt, backoff, () => 1))).toEqual([1000, 1500, 2250, 3000])
})

test('spreads the waits evenly from the floor to the bound, without a heap at either', () => {
  const backoff = { baseMs: 1000, capMs: 60_000, floorMs: 4000 }
  const waits = [0, 0.25, 0.5, 0.75, 1].map((drawn) => backoffMs(3, backoff, () => drawn))
  expect(waits).toEqual([4000, 5000, 6000, 7000, 8000])
})

test('never waits less than the floor that it is given, be it above the cap', () => {
  expect(backoffMs(0, { baseMs: 1000, capMs: 60_000, floorMs: 700 }, () => 0)).toBe(700)
  expect(backoffMs(9, { baseMs: 1000, capMs: 2000, floorMs: 3000 }, () => 1)).toBe(3000)
})

test('spreads an interval by at most the fraction to either side', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 86_400_000 }), draw, (intervalMs, drawn) => {
      const spreadMs = jittered(intervalMs, 0.1, () => drawn)
      expect(Math.abs(spreadMs - intervalMs)).toBeLessThanOrEqual(intervalMs * 0.1 + 0.001)
    }),
  )
  expect(jittered(1000, 0.1, () => 0)).toBe(900)
  expect(jittered(1000, 0.1, () => 1)).toBe(1100)
})
