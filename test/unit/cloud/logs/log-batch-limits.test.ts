import fc from 'fast-check'
import { expect, test } from 'vitest'

import { eventBytes, judgeBatch, type InputLogEvent } from '../../../cloud/logs/log-batch-limits.ts'
import { dayMs, event, hourMs, startMs } from './logs-fixture.ts'

const clock = { nowMs: startMs, retentionDays: undefined }
const judge = (events: readonly InputLogEvent[], retentionDays?: number) =>
  judgeBatch(events, { nowMs: startMs, retentionDays })
const many = (count: number, message = 'x') => Array.from({ length: count }, () => event(message))

test('accepts 10,000 events and refuses one more', () => {
  expect(judge(many(10_000)).accepted).toHaveLength(10_000)
  expect(() => judge(many(10_001))).toThrow(/'logEvents' failed .* less than or equal to 10000/)
})

test('refuses a batch without events', () => {
  expect(() => judge([])).toThrow(/'logEvents' failed .* greater than or equal to 1/)
})

test('refuses an empty message by its place', () => {
  expect(() => judge([event('a'), event('')])).toThrow(/Value '' at 'logEvents.2.member.message'/)
})

test('accepts an event of 1,048,550 bytes and refuses one more', () => {
  expect(judge([event('x'.repeat(1_048_550))]).accepted).toHaveLength(1)
  expect(() => judge([event('x'.repeat(1_048_551))])).toThrow(
    'Log event too large: 1048577 bytes exceeds limit of 1048576',
  )
})

test('accepts a batch of 1,048,576 bytes with 26 an event, and refuses one more', () => {
  const half = event('x'.repeat(524_288 - 26))
  expect(judge([half, half]).accepted).toHaveLength(2)
  expect(() => judge([half, event(`${half.message}x`)])).toThrow(
    'Upload too large: 1048577 bytes exceeds limit of 1048576',
  )
})

test('counts UTF-8 bytes, not characters', () => {
  expect(eventBytes(event('é\u{1f4f7}'))).toBe(6 + 26)
  expect(judge([event('é'.repeat(524_275))]).accepted).toHaveLength(1)
  expect(() => judge([event('é'.repeat(524_276))])).toThrow(/too large/)
})

test('accepts equal timestamps and refuses one that goes back, even among events that are too old', () => {
  expect(judge([event('a'), event('b')]).accepted).toHaveLength(2)
  const inOrder = 'Log events in a single PutLogEvents request must be in chronological order.'
  expect(() => judge([event('a'), event('b', startMs - 1)])).toThrow(inOrder)
  expect(() => judge([event('a', 2), event('b', 1), event('c')])).toThrow(inOrder)
})

test('accepts a span of 24 hours and refuses one millisecond more', () => {
  expect(judge([event('a', startMs - dayMs), event('b')]).accepted).toHaveLength(2)
  expect(() => judge([event('a', startMs - dayMs - 1), event('b')])).toThrow(
    'The batch of log events in a single PutLogEvents request cannot span more than 24 hours.',
  )
})

test('measures the span of the valid events only', () => {
  const events = [event('old', startMs - 20 * dayMs), event('now'), event('new', startMs + 3 * hourMs)]
  expect(judge(events).accepted).toEqual([event('now')])
})

test('accepts an event 2 hours ahead and sets aside one a millisecond later, from its index on', () => {
  const edge = event('edge', startMs + 2 * hourMs)
  expect(judge([edge])).toEqual({ accepted: [edge], rejected: undefined })
  const beyond = event('beyond', edge.timestamp + 1)
  expect(judge([edge, beyond, beyond])).toEqual({ accepted: [edge], rejected: { tooNewLogEventStartIndex: 1 } })
})

test('accepts an event 14 days old and sets aside one a millisecond older, up to the index behind it', () => {
  const edge = event('edge', startMs - 14 * dayMs)
  expect(judge([edge])).toEqual({ accepted: [edge], rejected: undefined })
  const beyond = event('beyond', edge.timestamp - 1)
  expect(judge([beyond, beyond, edge])).toEqual({ accepted: [edge], rejected: { tooOldLogEventEndIndex: 2 } })
})

test('sets aside what is older than the retention, apart from what is too old for any', () => {
  const edge = event('edge', startMs - 3 * dayMs)
  expect(judge([edge], 3)).toEqual({ accepted: [edge], rejected: undefined })
  const events = [event('too old', startMs - 15 * dayMs), event('expired', edge.timestamp - 1), edge]
  expect(judge(events, 3)).toEqual({
    accepted: [edge],
    rejected: { tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 2 },
  })
  for (const retentionDays of [3, 30]) {
    const { rejected } = judge([event('too old', startMs - 15 * dayMs)], retentionDays)
    expect(rejected).toEqual({ tooOldLogEventEndIndex: 1 })
  }
})

test('accepts the first millisecond of 1970 as a timestamp, if too old a one, and refuses one below', () => {
  expect(judge([event('a', 0)]).rejected).toEqual({ tooOldLogEventEndIndex: 1 })
  expect(() => judge([event('a', -1)])).toThrow(/Value '-1' at 'logEvents.1.member.timestamp'/)
})

test('accepts exactly the events that its indexes do not reject, in their order', () => {
  const timestamp = fc.oneof(
    fc.integer({ min: startMs - 16 * dayMs, max: startMs - 13.5 * dayMs }),
    fc.integer({ min: startMs - dayMs / 2, max: startMs + dayMs / 2 }),
  )
  fc.assert(
    fc.property(fc.array(timestamp, { minLength: 1 }), (timestamps) => {
      const events = timestamps.sort((a, b) => a - b).map((ms) => event('x', ms))
      const valid = events.filter(
        (each) => each.timestamp >= startMs - 14 * dayMs && each.timestamp <= startMs + 2 * hourMs,
      )
      fc.pre((valid.at(-1)?.timestamp ?? 0) - (valid[0]?.timestamp ?? 0) <= dayMs)
      const { accepted, rejected = {} } = judgeBatch(events, clock)
      const { tooOldLogEventEndIndex = 0, tooNewLogEventStartIndex = events.length } = rejected
      expect(accepted).toEqual(valid)
      expect(events.slice(tooOldLogEventEndIndex, tooNewLogEventStartIndex)).toEqual(valid)
    }),
  )
})
