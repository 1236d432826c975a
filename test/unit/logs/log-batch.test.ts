import fc from 'fast-check'
import { expect, test } from 'vitest'

import { nextBatch, type BatchLimits, type UnsentEvent } from '../../../agent/logs/log-batch.ts'

const limits: BatchLimits = { maxBytes: 200, maxEvents: 5, spanMs: 1_000 }

const unsent = fc.array(
  fc.record({
    message: fc.string({ minLength: 1, maxLength: 30, unit: 'binary' }),
    readAtMs: fc.integer({ min: 0, max: 5_000 }),
  }),
  { maxLength: 60 },
)

test('keeps every limit, loses nothing and sends nothing twice', () => {
  fc.assert(
    fc.property(unsent, (lines) => {
      const events = lines.map(toUnsent)
      const batches = allBatches(events)
      for (const batch of batches) {
        const times = batch.map(({ timestampMs }) => timestampMs)
        expect(batch.reduce((sum, { message }) => sum + Buffer.byteLength(message) + 26, 0)).toBeLessThanOrEqual(200)
        expect(batch.length).toBeLessThanOrEqual(5)
        expect(Math.max(...times) - Math.min(...times)).toBeLessThan(1_000)
        expect(times).toEqual(times.toSorted((one, other) => one - other))
      }
      const sent = batches.flat().map(({ message }) => message)
      expect(sent.toSorted()).toEqual(lines.map(({ message }) => message).toSorted())
    }),
  )
})

test('keeps the order of events that were read in order', () => {
  fc.assert(
    fc.property(unsent, (lines) => {
      const events = lines.toSorted((one, other) => one.readAtMs - other.readAtMs).map(toUnsent)
      const sent = allBatches(events).flat()
      expect(sent.map(({ message }) => message)).toEqual(events.map(({ message }) => message))
    }),
  )
})

test('fills a batch to the last byte and event that CloudWatch Logs takes', () => {
  const line = (messageBytes: number): UnsentEvent => ({ message: 'x'.repeat(messageBytes), messageBytes, readAtMs: 0 })
  const full = [line(524_262), line(524_262)]
  expect(nextBatch([...full, line(1)], Math.floor).taken).toBe(2)
  expect(nextBatch([line(524_263), line(524_262)], Math.floor).taken).toBe(1)
  expect(
    nextBatch(
      Array.from({ length: 10_001 }, () => line(1)),
      Math.floor,
    ).taken,
  ).toBe(10_000)
})

test('ends a batch before it spans 24 hours', () => {
  const at = (readAtMs: number): UnsentEvent => ({ message: 'x', messageBytes: 1, readAtMs })
  expect(nextBatch([at(0), at(86_399_999)], Math.floor).taken).toBe(2)
  expect(nextBatch([at(0), at(86_400_000)], Math.floor).taken).toBe(1)
})

function toUnsent({ message, readAtMs }: { message: string; readAtMs: number }): UnsentEvent {
  return { message, readAtMs, messageBytes: Buffer.byteLength(message) }
}

function allBatches(events: readonly UnsentEvent[]): ReturnType<typeof nextBatch>['events'][] {
  const batches = []
  for (let rest = events; rest.length > 0;) {
    const batch = nextBatch(rest, (readAtMs) => readAtMs, limits)
    expect(batch.taken).toBeGreaterThan(0)
    expect(batch.taken).toBe(batch.events.length)
    batches.push(batch.events)
    rest = rest.slice(batch.taken)
  }
  return batches
}
