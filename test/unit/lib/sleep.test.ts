import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { sleep } from '../../../agent/lib/sleep.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

test('resolves when the time is up and not before', async () => {
  const done = vi.fn()
  const sleeping = sleep(1000, new AbortController().signal).then(done)
  await vi.advanceTimersByTimeAsync(999)
  expect(done).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  await sleeping
  expect(done).toHaveBeenCalledOnce()
})

test('rejects with the reason of the abort at once', async () => {
  const controller = new AbortController()
  const reason = new Error('stop')
  const rejected = expect(sleep(1000, controller.signal)).rejects.toBe(reason)
  controller.abort(reason)
  await rejected
})

test('rejects when the signal has aborted before, without starting a timer', async () => {
  const reason = new Error('stopped before')
  await expect(sleep(1000, AbortSignal.abort(reason))).rejects.toBe(reason)
  expect(vi.getTimerCount()).toBe(0)
})

test('leaves no timer and no listener behind, however it ends', async () => {
  const kept = new AbortController()
  const sleeping = sleep(10, kept.signal)
  expect(getEventListeners(kept.signal, 'abort')).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(10)
  await sleeping
  expect(getEventListeners(kept.signal, 'abort')).toHaveLength(0)

  const aborted = new AbortController()
  const rejected = expect(sleep(1000, aborted.signal)).rejects.toThrow()
  aborted.abort()
  await rejected
  expect(getEventListeners(aborted.signal, 'abort')).toHaveLength(0)
  expect(vi.getTimerCount()).toBe(0)
})
