import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { GapOutbox } from '../../../../agent/logs/delivery/gap-outbox.ts'
import { renderGapRecord } from '../../../../agent/logs/delivery/gap-record.ts'
import type { GapRecord } from '../../../../agent/logs/log-source.ts'
import { useFakeClock } from '../log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const target = { group: 'g', stream: 's' }
const gap: GapRecord = {
  target,
  source: '/a.log',
  reason: 'rotated',
  bytes: 10,
  lines: 1,
  firstMs: 1_000,
  lastMs: 2_000,
}
const all = { isBehind: false, isStopping: true, limit: Infinity }
const due = { ...all, isStopping: false }

test('makes one record of what one source lost for one reason, until that is on its way', () => {
  const outbox = new GapOutbox()
  outbox.add(gap)
  outbox.add({ ...gap, firstMs: 500, lastMs: 1_500 })
  outbox.add({ ...gap, source: '/b.log' })
  outbox.add({ ...gap, reason: 'refused' })
  const [first, ...others] = outbox.take(target, all)
  expect(first?.gap).toEqual({ ...gap, bytes: 20, lines: 2, firstMs: 500, lastMs: 2_000 })
  expect(others).toHaveLength(2)
  outbox.add(gap)
  expect(outbox.length).toBe(4)
  first?.putBack()
  expect(outbox.gaps.filter(({ source, reason }) => source === '/a.log' && reason === 'rotated')).toEqual([
    { ...gap, bytes: 30, lines: 3, firstMs: 500, lastMs: 2_000 },
  ])
})

test('does not tell a number of which a part is unknown', () => {
  const outbox = new GapOutbox()
  const without: GapRecord = { target, source: '/a.log', reason: 'rotated', bytes: 10, firstMs: 1_000, lastMs: 2_000 }
  outbox.add(gap)
  outbox.add(without)
  expect(outbox.gaps).toEqual([{ ...without, bytes: 20 }])
})

test('keeps what is in flight for the saved state until it arrived', () => {
  const outbox = new GapOutbox()
  outbox.add(gap)
  const [taken] = outbox.take(target, all)
  expect(outbox.gaps).toEqual([gap])
  expect(outbox.take(target, all)).toEqual([])
  taken?.settle()
  expect(outbox.gaps).toEqual([])
  expect(outbox.targets).toEqual([])
})

test('waits until a loss has come to its end, but not for ever, and not at a stop', () => {
  const outbox = new GapOutbox()
  for (let second = 0; second < 590; second += 1) {
    outbox.add(gap)
    expect(outbox.isDue(target, due)).toBe(false)
    vi.advanceTimersByTime(1_000)
  }
  expect(outbox.isDue(target, all)).toBe(true)
  vi.advanceTimersByTime(5_000)
  expect(outbox.isDue(target, due)).toBe(true)
  outbox.add(gap)
  expect(outbox.isDue(target, due)).toBe(false)
  vi.advanceTimersByTime(4_999)
  outbox.add(gap)
  expect(outbox.isDue(target, due)).toBe(false)
  vi.advanceTimersByTime(4_000)
  expect(outbox.isDue(target, due)).toBe(true)
})

test('waits with what is left out for its level as long as the stream is behind', () => {
  const outbox = new GapOutbox()
  outbox.add({ ...gap, reason: 'level' })
  vi.advanceTimersByTime(3_600_000)
  expect(outbox.isDue(target, { ...due, isBehind: true })).toBe(false)
  expect(outbox.isDue(target, due)).toBe(true)
})

test('is bounded, and then merges the sources of one stream', () => {
  const outbox = new GapOutbox()
  for (let at = 0; at < 3_000; at += 1) outbox.add({ ...gap, source: `/${at}.log` })
  outbox.add({ ...gap, target: { group: 'g', stream: 'other' } })
  expect(outbox.length).toBe(1_000)
  expect(outbox.gaps.reduce((sum, { lines = 0 }) => sum + lines, 0)).toBe(3_000)
  expect(outbox.forgotten).toBe(1)
  expect(outbox.targets).toEqual([target])
})

test('renders any record as one line of JSON with the fields that are known', () => {
  const anyGap = fc.record(
    {
      target: fc.constant(target),
      source: fc.string({ unit: 'binary', maxLength: 20 }),
      reason: fc.constantFrom('rotated', 'vacuumed', 'too far behind', 'level', 'dropped', 'refused'),
      bytes: fc.nat(),
      lines: fc.nat(),
      firstMs: fc.double(),
      lastMs: fc.double(),
    },
    { requiredKeys: ['target', 'source', 'reason'] },
  )
  fc.assert(
    fc.property(anyGap, (given) => {
      const text = renderGapRecord(given)
      expect(text).not.toContain('\n')
      expect(text.isWellFormed()).toBe(true)
      const { source, reason, bytes, lines } = given
      expect(JSON.parse(text)).toMatchObject(
        JSON.parse(JSON.stringify({ panoramaAgent: 'gap', source, reason, bytes, lines })),
      )
    }),
  )
  expect(JSON.parse(renderGapRecord(gap))).toEqual({
    panoramaAgent: 'gap',
    reason: 'rotated',
    source: '/a.log',
    bytes: 10,
    lines: 1,
    from: '1970-01-01T00:00:01.000Z',
    to: '1970-01-01T00:00:02.000Z',
    message:
      '1 line, 10 bytes of /a.log, removed before they could be sent, between 1970-01-01T00:00:01.000Z and 1970-01-01T00:00:02.000Z',
  })
})
