import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import type { LogSenders } from '../../../agent/logs/delivery/log-senders.ts'
import type { Lane } from '../../../agent/logs/delivery/log-stream-sender.ts'
import { SendPace } from '../../../agent/logs/delivery/send-pace.ts'
import { useFakeClock } from './log-appliance.ts'
import { SendParts } from './send-parts.ts'
import { sourceEvent } from './source-events.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const kib = 1_024
const { signal } = new AbortController()
const lanes: Readonly<Record<string, Lane>> = { metrics: 1, occ_log: 2 }
const to = (stream: string): { readonly group: string; readonly stream: string } => ({ group: 'g', stream })

test('sends in the order of the lanes, and in a lane by turns', async () => {
  const { parts, senders } = await open('a', 'b', 'occ_log', 'metrics')
  for (const stream of ['a', 'b', 'occ_log']) offer(senders, stream, { count: 3, bytes: 20 })
  senders.of(to('metrics')).post('{"memory":1}')
  vi.advanceTimersByTime(20_000)
  const order = await puts(parts, senders, 5)
  offer(senders, 'b', { count: 1, bytes: 20 })
  offer(senders, 'a', { count: 1, bytes: 20 })
  vi.advanceTimersByTime(20_000)
  expect([...order, ...(await puts(parts, senders, 2))]).toEqual(['metrics', 'occ_log', 'a', 'b', 'a', 'b'])
})

test('gets metrics, gap records and the own log through while the others have a backlog', async () => {
  const { parts, senders } = await open('a', 'b', 'c', 'd', 'occ_log', 'metrics')
  const others = ['a', 'b', 'c', 'd']
  parts.outbox.add({ target: to('a'), source: 'a', reason: 'rotated', bytes: 1 })
  vi.advanceTimersByTime(5_000)
  for (let round = 0; round < 20; round += 1) {
    for (const stream of others) fill(senders, stream)
    if (round === 10) {
      senders.of(to('metrics')).post('{}')
      offer(senders, 'occ_log', { count: 1, bytes: 20 })
      vi.advanceTimersByTime(20_000)
    }
    senders.dispatch(signal, () => undefined)
    await senders.settled()
  }
  const { calls } = parts.destination
  expect(parts.destination.messages(to('a'))[0]).toContain('"gap"')
  const at = calls.indexOf('put metrics')
  expect(at).toBeGreaterThan(0)
  expect(calls.indexOf('put occ_log') - at).toBeLessThan(4)
  expect(calls.length - at).toBeGreaterThan(20)
})

test('sends to four streams at once at most, and keeps one of them free for what is urgent', async () => {
  const { parts, senders } = await open('a', 'b', 'c', 'd', 'e', 'metrics')
  const streams = ['a', 'b', 'c', 'd', 'e']
  for (const stream of streams) {
    parts.destination.hanging.add(stream)
    fill(senders, stream)
  }
  const end = new AbortController()
  senders.dispatch(end.signal, () => undefined)
  await turn()
  expect(parts.destination.mostAtOnce).toBe(3)
  senders.of(to('metrics')).post('{}')
  parts.destination.hanging.add('metrics')
  senders.dispatch(end.signal, () => undefined)
  await turn()
  expect(parts.destination.calls.at(-1)).toBe('put metrics')
  expect(parts.destination.mostAtOnce).toBe(4)
  end.abort(new Error('over'))
  await senders.settled()
})

test('sends one batch a second, but a backlog at once', async () => {
  const { parts, senders } = await open('a', 'b')
  for (const stream of ['a', 'b']) offer(senders, stream, { count: 1, bytes: 20 })
  vi.advanceTimersByTime(20_000)
  expect(senders.dispatch(signal, () => undefined)).toBe(1_000)
  await senders.settled()
  expect(parts.destination.calls).toEqual(expect.arrayContaining(['put a']))
  expect(parts.destination.calls).not.toContain('put b')
  vi.advanceTimersByTime(999)
  expect(senders.dispatch(signal, () => undefined)).toBe(1)
  fill(senders, 'a')
  expect(senders.dispatch(signal, () => undefined)).toBe(Infinity)
  await senders.settled()
  expect(parts.destination.calls).toContain('put b')
})

test('keeps to the bytes per second, retries counted, in batches that are soon paid for', async () => {
  const { parts, senders } = await open('a', 'b', { pace: new SendPace(100 * kib) })
  parts.destination.failures.set('b', new Error('no'))
  let sentMs = 0
  const startedMs = performance.now()
  for (let step = 0; step < 600; step += 1) {
    fill(senders, 'a')
    fill(senders, 'b')
    senders.retryNow()
    senders.dispatch(signal, () => undefined)
    await senders.settled()
    vi.advanceTimersByTime(100)
    sentMs = performance.now() - startedMs
  }
  const bytes = parts.destination.triedBytes.reduce((sum, tried) => sum + tried, 0)
  const perSecond = bytes / (sentMs / 1_000)
  expect(perSecond).toBeGreaterThan(90 * kib)
  expect(perSecond).toBeLessThan(110 * kib)
  expect(Math.max(...parts.destination.triedBytes)).toBeLessThanOrEqual(500 * kib)
  expect(parts.destination.calls.filter((call) => call === 'put b').length).toBeGreaterThan(3)
})

test('keeps the newest ten messages of the first lane and counts no others as lost events', async () => {
  const { parts, senders } = await open('metrics')
  const sender = senders.of(to('metrics'))
  parts.destination.failures.set('metrics', new Error('no network'))
  for (let minute = 0; minute < 15; minute += 1) {
    sender.post(`${minute}`)
    await sender.send(signal)
    vi.advanceTimersByTime(60_000)
  }
  parts.destination.failures.clear()
  await sender.send(signal)
  expect(parts.destination.messages(to('metrics'))).toEqual(Array.from({ length: 10 }, (_, at) => `${at + 5}`))
  expect(parts.tally.totals).toMatchObject({ accepted: 10, lost: 0 })
  expect(sender.isIdle).toBe(true)
})

interface Change {
  readonly pace?: SendPace
}

async function open(
  ...given: readonly (string | Change)[]
): Promise<{ readonly parts: SendParts; readonly senders: LogSenders }> {
  const change = given.find((each) => typeof each !== 'string') ?? {}
  const parts = new SendParts({ ...change, laneOf: ({ stream }) => lanes[stream] ?? 3 })
  const streams = given.filter((each) => typeof each === 'string')
  await parts.make(...streams)
  parts.destination.calls.length = 0
  const senders = parts.senders()
  for (const stream of streams) senders.of(to(stream))
  return { parts, senders }
}

function offer(senders: LogSenders, stream: string, { count, bytes }: { count: number; bytes: number }): void {
  for (let at = 0; at < count; at += 1) {
    senders.of(to(stream)).offer(sourceEvent(`${at} `.padEnd(bytes - 26, 'x'), { atMs: performance.now() }))
  }
}

function fill(senders: LogSenders, stream: string): void {
  const sender = senders.of(to(stream))
  while (!sender.isFull) offer(senders, stream, { count: 16, bytes: 4 * kib })
}

/** The streams that the next calls go to, a second between them. */
async function puts(parts: SendParts, senders: LogSenders, count: number): Promise<readonly string[]> {
  const { calls } = parts.destination
  calls.length = 0
  for (let at = 0; at < count; at += 1) {
    senders.dispatch(signal, () => undefined)
    await senders.settled()
    vi.advanceTimersByTime(1_000)
  }
  return calls.map((call) => call.replace('put ', ''))
}

async function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  setImmediate(() => {
    resolve(undefined)
  })
  await promise
}
