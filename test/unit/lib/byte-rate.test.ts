import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { ByteRate } from '../../../agent/lib/byte-rate.ts'

const { signal } = new AbortController()

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

it('holds everybody together to the rate', async () => {
  const rate = new ByteRate(1000)
  const ended: number[] = []
  const take = async (bytes: number): Promise<void> => {
    await rate.take(bytes, signal, () => undefined)
    ended.push(performance.now())
  }
  const startMs = performance.now()
  const all = Promise.all([take(1000), take(2000), take(500)])
  await vi.advanceTimersByTimeAsync(10_000)
  await all
  expect(ended.map((atMs) => Math.round(atMs - startMs))).toEqual([1000, 3000, 3500])
})

it('saves nothing up while nobody takes anything', async () => {
  const rate = new ByteRate(1000)
  await vi.advanceTimersByTimeAsync(60_000)
  let isOver = false
  const taken = rate.take(5000, signal, () => undefined).then(() => (isOver = true))
  await vi.advanceTimersByTimeAsync(4_900)
  expect(isOver).toBe(false)
  await vi.advanceTimersByTimeAsync(200)
  await taken
})

it('shows at least every 10 s that it waits', async () => {
  const rate = new ByteRate(1000)
  let waits = 0
  const taken = rate.take(60_000, signal, () => (waits += 1))
  await vi.advanceTimersByTimeAsync(60_000)
  await taken
  expect(waits).toBeGreaterThanOrEqual(6)
})

it('rejects at once with the reason of the signal', async () => {
  const controller = new AbortController()
  const taken = new ByteRate(1).take(1000, controller.signal, () => undefined)
  controller.abort(new Error('stop'))
  await expect(taken).rejects.toThrow('stop')
})
