import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { RateLimit } from '../../../agent/lib/rate-limit.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function takeMany(limit: RateLimit, times: number): number {
  return Array.from({ length: times }, () => limit.take()).filter((taken) => taken).length
}

test('lets a burst through, and then so many per second', () => {
  const limit = new RateLimit({ perSecond: 2, burst: 5 })
  expect(takeMany(limit, 10)).toBe(5)
  vi.advanceTimersByTime(499)
  expect(limit.take()).toBe(false)
  vi.advanceTimersByTime(1_001)
  expect(takeMany(limit, 10)).toBe(3)
})

test('saves up no more than a burst, however long it rests', () => {
  const limit = new RateLimit({ perSecond: 100, burst: 5 })
  vi.advanceTimersByTime(3_600_000)
  expect(takeMany(limit, 10)).toBe(5)
})
