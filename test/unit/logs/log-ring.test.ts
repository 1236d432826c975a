import fc from 'fast-check'
import { expect, test, vi } from 'vitest'

import { LogRing } from '../../../agent/logs/log-ring.ts'

test('keeps the newest lines within both bounds and counts the others', () => {
  const texts = fc.array(fc.string({ minLength: 1, maxLength: 30, unit: 'grapheme' }), { maxLength: 40 })
  fc.assert(
    fc.property(texts, (given) => {
      const ring = new LogRing({ maxLines: 10, maxBytes: 200 })
      for (const text of given) ring.sink({ level: 'info', text })
      const { dropped, lines } = ring.take()
      expect(lines.length).toBeLessThanOrEqual(10)
      expect(lines.reduce((sum, { textBytes }) => sum + textBytes, 0)).toBeLessThanOrEqual(200)
      expect(dropped + lines.length).toBe(given.length)
      expect(lines.map(({ text }) => text)).toEqual(given.slice(dropped).map((text) => text.replaceAll('\0', '\u2400')))
      expect(ring.take()).toEqual({ dropped: 0, lines: [] })
    }),
  )
})

test('gives what was logged before, with what was dropped ahead of it', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const ring = new LogRing({ maxLines: 2 })
  for (const text of ['one', 'two', 'three']) {
    ring.sink({ level: 'info', text })
    vi.advanceTimersByTime(1_000)
  }
  const textsBefore = (ms?: number): unknown => {
    const { dropped, lines } = ring.take(ms === undefined ? undefined : startMs + ms)
    return [dropped, ...lines.map(({ text }) => text)]
  }
  const startMs = performance.now() - 3_000
  expect(textsBefore(1_000)).toEqual([0])
  expect(textsBefore(2_000)).toEqual([1, 'two'])
  expect(ring.pendingBytes).toBe(5)
  expect(textsBefore()).toEqual([0, 'three'])
  expect(ring.pendingBytes).toBe(0)
  vi.useRealTimers()
})

test('cuts an endless line and shows what cannot be sent', () => {
  const ring = new LogRing()
  ring.sink({ level: 'error', text: `\0${'x'.repeat(100_000)}` })
  ring.sink({ level: 'debug', text: '\uD800' })
  const [long, lone] = ring.take().lines
  expect(long?.text).toBe(`\u2400${'x'.repeat(65_535)}`)
  expect(long?.urgent).toBe(true)
  expect(lone?.text).toBe('\uFFFD')
})
