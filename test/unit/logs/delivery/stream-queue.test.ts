import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import { EventClock } from '../../../../agent/logs/events/event-clock.ts'
import type { LogStreamSender } from '../../../../agent/logs/delivery/log-stream-sender.ts'
import { recordsIn, useFakeClock } from '../log-appliance.ts'
import { SendParts, target } from '../send-parts.ts'
import { RecordingOrigin, sourceEvent } from '../source-events.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const { signal } = new AbortController()
const atOnce = (): Promise<void> => Promise.resolve()
const dayMs = 86_400_000

test('finds the one event that a batch is refused for, gives it up and sends the others in order', async () => {
  const { parts, sender } = await open()
  parts.destination.refuses = (message) => message === '617'
  const origin = new RecordingOrigin()
  offer(sender, { count: 1_000, origin })
  await sender.drain(signal, atOnce)
  const expected = numbers(1_000).filter((number) => number !== 617)
  expect(arrived(parts)).toEqual(expected)
  expect(origin.positions).toEqual(numbers(1_000))
  expect(parts.destination.triedBytes.length).toBeLessThanOrEqual(20) // twice log2(1,000)
  expect(parts.gaps).toMatchObject([{ reason: 'refused', lines: 1, bytes: 3 }])
  expect(parts.gaps[0]?.source).toMatch(/^app \(event with sha256 [0-9a-f]{16}\.\.\.\)$/)
  expect(parts.gaps[0]?.source).not.toContain('617')
  expect(parts.tally.totals).toMatchObject({ accepted: 1_000, lost: 1 }) // with the gap record
})

test('finds every event that is refused, wherever they are', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.integer({ min: 0, max: 49 }), { maxLength: 8 }), async (bad) => {
      const { parts, sender } = await open()
      parts.destination.refuses = (message) => bad.includes(Number(message))
      offer(sender, { count: 50 })
      while (!sender.isIdle) {
        await sender.drain(signal, atOnce)
        vi.advanceTimersByTime(120_000)
      }
      expect(arrived(parts)).toEqual(numbers(50).filter((number) => !bad.includes(number)))
      expect(parts.gaps.filter(({ reason }) => reason === 'refused')).toHaveLength(bad.length)
    }),
    { numRuns: 30 },
  )
})

test('rests between events when one after the other is refused: it may not be the events', async () => {
  const { parts, sender } = await open()
  parts.destination.refuses = (message) => !message.startsWith('{')
  offer(sender, { count: 100 })
  await sender.drain(signal, atOnce)
  expect(sender.rest.isResting).toBe(true)
  expect(parts.tally.totals.lost).toBe(4)
})

test('keeps what it has while the stream takes nothing at all, and sends it once that does', async () => {
  const { parts, sender } = await open()
  parts.destination.refuses = () => true
  const origin = new RecordingOrigin()
  offer(sender, { count: 200, origin })
  await tryFor(sender, 60)
  expect(parts.tally.totals).toMatchObject({ accepted: 0, lost: 3 })
  expect(origin.positions).toEqual(numbers(3))
  expect(parts.outbox.length).toBe(3)
  expect(sender.rest.lastError).toBeDefined()
  parts.destination.refuses = () => false
  await tryFor(sender, 3)
  expect(arrived(parts)).toEqual(numbers(200).slice(3))
  expect(recordsIn(parts.destination.messages(target), 'gap')).toHaveLength(3)
  expect(sender.isIdle).toBe(true)
})

test('gives up one event after the other as long as the stream takes the records of them', async () => {
  const { parts, sender } = await open()
  parts.destination.refuses = (message) => Number(message) < 9
  offer(sender, { count: 20 })
  await tryFor(sender, 40)
  expect(arrived(parts)).toEqual(numbers(20).slice(9))
  expect(parts.tally.totals.lost).toBe(9)
})

test('keeps a gap record that is refused until the stream takes something else, which need not wait for it', async () => {
  const { parts, sender } = await open()
  parts.outbox.add({ target, source: 'one', reason: 'rotated', bytes: 1 })
  parts.destination.refuses = (message) => message.startsWith('{')
  await tryFor(sender, 10)
  expect(parts.outbox.length).toBe(1)
  offer(sender, { count: 5 })
  await tryFor(sender, 2)
  expect(arrived(parts)).toEqual(numbers(5))
  await tryFor(sender, 2)
  expect(parts.outbox.length).toBe(0)
  expect(parts.tally.totals.lost).toBe(1)
})

test('makes no gap record of a gap record that is refused', async () => {
  const { parts, sender } = await open()
  parts.outbox.add({ target, source: 'one', reason: 'rotated', bytes: 1 })
  parts.outbox.add({ target, source: 'two', reason: 'rotated', bytes: 1 })
  parts.destination.refuses = (message) => message.includes('"one"')
  await sender.drain(signal, atOnce)
  expect(recordsIn(parts.destination.messages(target), 'gap')).toMatchObject([{ source: 'two' }])
  expect(parts.outbox.length).toBe(0)
  expect(parts.gaps).toEqual([])
  expect(parts.tally.totals.lost).toBe(1)
})

test('records what was rejected for its time, with its size', async () => {
  const { parts, sender } = await open({ cloudNow: () => Date.now() + 4 * 3_600_000 })
  sender.offer(sourceEvent('too new', { atMs: performance.now() }))
  await sender.send(signal)
  expect(parts.gaps).toMatchObject([{ reason: 'refused', source: 'app', lines: 1, bytes: 7 }])
  expect(parts.tally.totals).toMatchObject({ accepted: 0, lost: 1 })
})

test('makes a batch again of which nothing was stored, when the clock was set right meanwhile', async () => {
  let offsetMs = -40 * dayMs
  const { parts, sender } = await open({ cloudNow: () => Date.now() + offsetMs })
  parts.destination.beforePut = () => {
    offsetMs = 0
  }
  sender.offer(sourceEvent('one', { atMs: performance.now() }))
  await sender.drain(signal, atOnce)
  expect(parts.destination.messages(target)).toEqual(['one'])
  expect(parts.tally.totals).toMatchObject({ accepted: 1, lost: 0 })
})

test('flags a run of times that are not right once, over batches, and the next run again', async () => {
  const { parts, sender } = await open()
  const wrong = { statedMs: 5 }
  const send = async (message: string, change: object): Promise<void> => {
    sender.offer(sourceEvent(message, { atMs: performance.now(), ...change }))
    await sender.send(signal)
  }
  for (const message of ['a', 'b']) await send(message, wrong)
  await send('c', {})
  await send('d', wrong)
  const kinds = parts.destination.events(target).map(({ message }) => (message.length === 1 ? message : 'record'))
  expect(kinds.toSorted()).toEqual(['a', 'b', 'c', 'd', 'record', 'record'])
})

test('mends times that waited for the clock to become known', async () => {
  let offsetMs = 0
  const clock = new EventClock({
    cloudNow: () => Date.now() + offsetMs,
    deviceClock: () => ({ offsetMs, isKnown: offsetMs !== 0 }),
  })
  const { parts, sender } = await open({ clock })
  const wallOffsetMs = Date.now() - performance.now()
  sender.offer(sourceEvent('one', { statedMs: Date.now() - 500, wallOffsetMs, atMs: performance.now() }))
  const readAtMs = Date.now()
  offsetMs = 3_600_000
  await sender.send(signal)
  const [event] = parts.destination.events(target)
  expect(Math.abs((event?.timestampMs ?? 0) - (readAtMs - 500 + 3_600_000))).toBeLessThanOrEqual(1)
})

test('leaves low levels out while it is behind, tells the origin in order, and counts them in one record', async () => {
  const { parts, sender } = await open({ minLevelWhenBehind: 'warn' })
  const origin = new RecordingOrigin()
  let position = 0
  const offerLevel = (level: 'debug' | 'info' | 'warn' | undefined, message: string): void => {
    position += 1
    sender.offer(sourceEvent(message, { level, origin, position, atMs: performance.now() }))
  }
  offerLevel('debug', 'before')
  sender.queue.noteBacklog(10_000_000)
  offerLevel('debug', 'd1')
  offerLevel('warn', 'w1')
  offerLevel(undefined, '2027-01-01 INFO told by its text')
  offerLevel(undefined, 'of no level')
  await sender.send(signal)
  sender.queue.noteBacklog(2_000_000)
  offerLevel('info', 'd2')
  await sender.send(signal)
  sender.queue.noteBacklog(1_000)
  offerLevel('debug', 'after')
  await sender.drain(signal, atOnce)
  const messages = parts.destination.messages(target)
  expect(messages.filter((message) => !message.startsWith('{'))).toEqual(['before', 'w1', 'of no level', 'after'])
  expect(recordsIn(messages, 'gap')).toMatchObject([{ reason: 'level', lines: 3, bytes: 2 + 2 + 32 }])
  expect(origin.positions).toEqual([1, 2, 3, 4, 5, 6, 7])
})

test('never tells an origin of an event before it was stored or recorded as missing, whatever happens', async () => {
  const outcome = fc.constantFrom('accepted', 'fails', 'refuses', 'slow')
  const event = fc.record({
    bad: fc.boolean(),
    level: fc.constantFrom('debug', 'error'),
    ageDays: fc.constantFrom(undefined, 0, 20),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(outcome, { maxLength: 12 }),
      fc.array(event, { maxLength: 30 }),
      async (outcomes, given) => {
        const { parts, sender } = await open({ minLevelWhenBehind: 'warn', maxAgeMs: 13 * dayMs })
        const { destination } = parts
        const origin = new RecordingOrigin()
        sender.queue.noteBacklog(10_000_000)
        given.forEach(({ bad, level, ageDays }, at) => {
          const statedMs = ageDays === undefined ? undefined : Date.now() - ageDays * dayMs
          const message = `${at} ${bad ? 'bad' : 'good'}`
          const times = { atMs: performance.now(), statedMs }
          sender.offer(sourceEvent(message, { level, origin, position: at, ...times }))
        })
        for (const next of [...outcomes, ...Array.from({ length: 200 }, () => 'accepted')]) {
          destination.failures.clear()
          if (next === 'fails') destination.failures.set(target.stream, new AgentError('no', { retryable: true }))
          destination.slowAboveBytes = next === 'slow' ? 0 : Infinity
          destination.whenSlow = 'breaks'
          destination.refuses = (message) => message.endsWith('bad')
          if (sender.isIdle) break
          vi.advanceTimersByTime(120_000) // the longest rest
          await sender.send(signal)
          const stored = destination.messages(target).filter((message) => !message.startsWith('{')).length
          const missing = parts.gaps.reduce((sum, { lines = 0 }) => sum + lines, 0)
          expect(origin.positions).toHaveLength(stored + missing)
        }
        expect(origin.positions).toEqual(numbers(given.length))
        const expected = given.flatMap(({ bad, level, ageDays }, at) =>
          bad || level === 'debug' || ageDays === 20 ? [] : [`${at} good`],
        )
        const lines = destination.messages(target).filter((message) => !message.startsWith('{'))
        expect(lines.toSorted()).toEqual(expected.toSorted())
      },
    ),
    { numRuns: 100 },
  )
})

async function open(
  change: ConstructorParameters<typeof SendParts>[0] = {},
): Promise<{ readonly parts: SendParts; readonly sender: LogStreamSender }> {
  const parts = new SendParts(change)
  await parts.make(target.stream)
  return { parts, sender: parts.sender() }
}

/** Sends what is due, as long as anything is, then rests: so many times. */
async function tryFor(sender: LogStreamSender, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    vi.advanceTimersByTime(120_000)
    while (sender.dueLane() !== undefined) await sender.send(signal)
  }
}

function offer(sender: LogStreamSender, { count, origin }: { count: number; origin?: RecordingOrigin }): void {
  for (const number of numbers(count)) {
    sender.offer(sourceEvent(`${number}`, { atMs: performance.now(), position: number, origin }))
  }
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => at)
}

function arrived({ destination }: SendParts): readonly number[] {
  return destination
    .messages(target)
    .filter((message) => !message.startsWith('{'))
    .map(Number)
}
