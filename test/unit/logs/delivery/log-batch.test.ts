import fc from 'fast-check'
import { expect, test } from 'vitest'

import type { ClockReading } from '../../../../agent/logs/events/event-clock.ts'
import {
  nextBatch,
  putLogEventsLimits,
  type BatchLimits,
  type BatchRules,
  type LogBatch,
} from '../../../../agent/logs/delivery/log-batch.ts'
import type { LogEvent } from '../../../../agent/logs/log-destination.ts'
import type { SourceEvent } from '../../../../agent/logs/events/source-event.ts'
import { sourceEvent } from '../source-events.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const nowMs = Date.UTC(2027, 0, 15)
/** The monotonic clock is at an hour. */
const clock: ClockReading = { nowMs, offsetMs: nowMs - hourMs, isKnown: true, wasWrong: false }
const rules: BatchRules = {
  clock,
  limits: putLogEventsLimits,
  maxAgeMs: Infinity,
  maxTaken: Infinity,
  isFlagged: false,
}
const small: BatchLimits = { maxBytes: 2_000, maxEvents: 12, spanMs: 1_000 }

const anyMs = fc.oneof(
  fc.integer({ min: nowMs - 5_000, max: nowMs + 5_000 }),
  fc.integer({ min: nowMs - 20 * dayMs, max: nowMs + 2 * dayMs }),
  fc.integer({ min: -1e15, max: 1e16 }),
  fc.constantFrom(NaN, Infinity, -Infinity),
)
const anyEvents = fc
  .array(
    fc.record({
      text: fc.string({ maxLength: 30, unit: 'binary' }),
      atMs: fc.integer({ min: 0, max: hourMs }),
      statedMs: fc.option(anyMs, { nil: undefined }),
      wallOffsetMs: fc.option(fc.constantFrom(clock.offsetMs, clock.offsetMs - 50 * dayMs, 0), { nil: undefined }),
    }),
    { maxLength: 60 },
  )
  .map((events) =>
    events.map(({ text, ...times }, at) => sourceEvent(text === '' ? '' : `${at} ${text}`, { ...times, position: at })),
  )
const anyRules = fc.record({
  wasWrong: fc.boolean(),
  isKnown: fc.boolean(),
  maxAgeMs: fc.constantFrom(dayMs, 13 * dayMs, Infinity),
  maxTaken: fc.constantFrom(1, 3, Infinity),
})

test('makes chronological batches within every limit and the accepted times, for any events', () => {
  fc.assert(
    fc.property(anyEvents, anyRules, (events, { maxAgeMs, maxTaken, ...state }) => {
      const given = { ...rules, clock: { ...clock, ...state }, limits: small, maxAgeMs, maxTaken }
      for (const { events: columns, bytes } of allBatches(events, given)) {
        const sent = [...columns]
        const times = sent.map(({ timestampMs }) => timestampMs)
        expect(bytes).toBe(bytesOf(sent))
        expect(sent.length <= small.maxEvents).toBe(true)
        expect(bytes <= small.maxBytes).toBe(true)
        expect(times).toEqual(times.toSorted((one, other) => one - other))
        for (const time of times) {
          expect(Number.isInteger(time)).toBe(true)
          expect(time).toBeGreaterThan(nowMs - 14 * dayMs + hourMs)
          expect(time).toBeLessThan(nowMs + hourMs)
          expect(time - (times[0] ?? 0)).toBeLessThan(small.spanMs)
        }
      }
    }),
  )
})

test('takes every event once, from the front: it is sent, too old, or without its message', () => {
  fc.assert(
    fc.property(anyEvents, anyRules, (events, { maxAgeMs, maxTaken, ...state }) => {
      const given = { ...rules, clock: { ...clock, ...state }, limits: small, maxAgeMs, maxTaken }
      let at = 0
      for (const { events: sent, taken, tooOld, sent: count } of allBatches(events, given)) {
        const isSent = ({ message }: SourceEvent, index: number): boolean => message !== '' && !tooOld.includes(index)
        const expected = events.slice(at, at + taken).filter(isSent)
        const messages = withoutRecords([...sent]).map(({ message }) => message)
        expect(messages.toSorted()).toEqual(expected.map(({ message }) => message).toSorted())
        expect(count).toBe(messages.length)
        at += taken
      }
      expect(at).toBe(events.length)
    }),
  )
})

test('keeps the order of events of the same time', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }), (times) => {
      const events = times.map((time, at) => sourceEvent(`${at}`, { atMs: time }))
      const sent = [...nextBatch(events, rules).events].map(({ message }) => Number(message))
      const expected = times.map((time, at) => ({ time, at })).toSorted((one, other) => one.time - other.time)
      expect(sent).toEqual(expected.map(({ at }) => at))
    }),
  )
})

test('fills a batch to the last byte and event that CloudWatch Logs takes', () => {
  const line = (messageBytes: number): SourceEvent => sourceEvent('x'.repeat(messageBytes))
  const full = [line(524_262), line(524_262)]
  expect(nextBatch([...full, line(1)], rules).taken).toBe(2)
  expect(nextBatch([line(524_263), line(524_262)], rules).taken).toBe(1)
  const many = Array.from({ length: 10_001 }, () => line(1))
  expect(nextBatch(many, rules).taken).toBe(10_000)
})

test('ends a batch before it spans 24 hours', () => {
  const at = (ms: number): SourceEvent => sourceEvent('x', { statedMs: nowMs - 2 * dayMs + ms })
  expect(nextBatch([at(0), at(86_399_999)], rules).taken).toBe(2)
  expect(nextBatch([at(0), at(86_400_000)], rules).taken).toBe(1)
})

test('mends a stated time by what the clock was off when it was read, unless that is noise', () => {
  const timeOf = (change: Partial<SourceEvent>): number | undefined =>
    sentOf([sourceEvent('x', change)], rules)[0]?.timestampMs
  const stated = nowMs - 1_000
  expect(timeOf({ statedMs: stated, wallOffsetMs: clock.offsetMs })).toBe(stated)
  expect(timeOf({ statedMs: stated, wallOffsetMs: clock.offsetMs - 2_000 })).toBe(stated)
  expect(timeOf({ statedMs: stated - dayMs, wallOffsetMs: clock.offsetMs - dayMs })).toBe(stated)
  expect(timeOf({ statedMs: 5_000, wallOffsetMs: -hourMs })).toBe(clock.offsetMs + 5_000 + hourMs)
  expect(timeOf({ statedMs: stated })).toBe(stated)
  expect(timeOf({ atMs: 1_234.5 })).toBe(Math.floor(clock.offsetMs + 1_234.5))
})

test('puts one clock record before a run of events whose time CloudWatch Logs would not take', () => {
  const events = [sourceEvent('old', { statedMs: 0 }), sourceEvent('older', { statedMs: -5 })]
  const { events: sent, isFlagged } = nextBatch(events, rules)
  const [record, ...rest] = [...sent]
  const oldestMs = nowMs - 14 * dayMs + hourMs + 1
  expect(JSON.parse(record?.message ?? '')).toMatchObject({
    panoramaAgent: 'clock',
    reason: 'moved',
    stated: '1970-01-01T00:00:00.000Z',
    sentAs: new Date(oldestMs).toISOString(),
  })
  expect(rest).toEqual([
    { timestampMs: oldestMs, message: 'old' },
    { timestampMs: oldestMs, message: 'older' },
  ])
  expect(isFlagged).toBe(true)
  expect(sentOf(events, { ...rules, isFlagged: true })).toEqual(rest)
})

test('counts the clock record as one of the events of a batch', () => {
  const ordinary = Array.from({ length: 9_999 }, () => sourceEvent('x', { statedMs: nowMs - 14 * dayMs + 2 * hourMs }))
  const { events: sent, taken } = nextBatch([...ordinary, sourceEvent('y', { statedMs: 0 })], rules)
  expect({ sent: sent.length, taken }).toEqual({ sent: 9_999, taken: 9_999 })
  const fewer = nextBatch([...ordinary.slice(1), sourceEvent('y', { statedMs: 0 })], rules)
  expect({ sent: fewer.events.length, taken: fewer.taken }).toEqual({ sent: 10_000, taken: 9_999 })
  expect(fewer.bytes).toBe(bytesOf([...fewer.events]))
})

test('flags times that cannot be mended once the clock was seen to be wrong, and keeps them', () => {
  const events = [sourceEvent('x', { statedMs: nowMs - dayMs })]
  const sent = sentOf(events, { ...rules, clock: { ...clock, wasWrong: true } })
  expect(JSON.parse(sent[0]?.message ?? '')).toMatchObject({ panoramaAgent: 'clock', reason: 'in doubt' })
  expect(sent[1]).toEqual({ timestampMs: nowMs - dayMs, message: 'x' })
  expect(sentOf(events, rules)).toHaveLength(1)
})

test('leaves out what is too old, but not while the time is unknown, and not what a wrong clock dated or may have', () => {
  const old = sourceEvent('old', { statedMs: nowMs - 3 * dayMs })
  const wrong = sourceEvent('wrong', { statedMs: 0 })
  const fresh = sourceEvent('fresh', { statedMs: nowMs })
  const { tooOld, taken, events } = nextBatch([old, fresh], { ...rules, maxAgeMs: 2 * dayMs })
  expect({ tooOld, taken, sent: [...events].map(({ message }) => message) }).toEqual({
    tooOld: [0],
    taken: 2,
    sent: ['fresh'],
  })
  const inDoubt = nextBatch([old], { ...rules, maxAgeMs: 2 * dayMs, clock: { ...clock, wasWrong: true } })
  expect(inDoubt).toMatchObject({ tooOld: [], sent: 1, isFlagged: true })
  const unknown = { ...rules, maxAgeMs: 2 * dayMs, clock: { ...clock, isKnown: false } }
  expect(nextBatch([old], unknown).tooOld).toEqual([])
  expect(nextBatch([wrong], { ...rules, maxAgeMs: 2 * dayMs }).tooOld).toEqual([])
})

function sentOf(events: readonly SourceEvent[], given: BatchRules): readonly LogEvent[] {
  return [...nextBatch(events, given).events]
}

function bytesOf(events: readonly LogEvent[]): number {
  return events.reduce((sum, { message }) => sum + Buffer.byteLength(message) + 26, 0)
}

function withoutRecords(events: readonly LogEvent[]): readonly LogEvent[] {
  return events.filter(({ message }) => !message.startsWith('{"panoramaAgent"'))
}

function allBatches(events: readonly SourceEvent[], given: BatchRules): readonly LogBatch[] {
  const batches: LogBatch[] = []
  let isFlagged = false
  for (let rest = events; rest.length > 0;) {
    const batch = nextBatch(rest, { ...given, isFlagged })
    expect(batch.taken).toBeGreaterThan(0)
    ;({ isFlagged } = batch)
    batches.push(batch)
    rest = rest.slice(batch.taken)
  }
  return batches
}
