import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import type { LogStreamSender } from '../../../../agent/logs/delivery/log-stream-sender.ts'
import type { FakeLogDestination } from '../../../support/fake-log-destination.ts'
import { useFakeClock } from '../log-appliance.ts'
import { SendParts, target } from '../send-parts.ts'
import { sourceEvent } from '../source-events.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const kib = 1_024
const limitBytes = 1_024 * kib
const floorBytes = 16 * kib
const overheadBytes = 26
const { signal } = new AbortController()
const atOnce = (): Promise<void> => Promise.resolve()

test.for(['waits', 'breaks'] as const)(
  'halves its batches on a line that %s until one gets through',
  async (whenSlow) => {
    const { sender, destination } = await open()
    Object.assign(destination, { whenSlow, slowAboveBytes: 200 * kib })
    const lines = offer(sender, { count: 1_024, bytes: kib })
    await trySending(sender)
    await trySending(sender)
    await trySending(sender)
    expect(sender.rest.lastError).toMatchObject({ retryable: true })
    await trySending(sender)
    expect(destination.triedBytes).toEqual([limitBytes, limitBytes / 2, limitBytes / 4, limitBytes / 8])
    expect(arrived(destination)).toEqual(lines.slice(0, 128))
    expect(sender.rest.lastError).toBeUndefined()
  },
)

test('doubles its batches with every eighth that is accepted, up to the limit', async () => {
  const { sender, destination } = await open()
  destination.slowAboveBytes = 200 * kib
  const lines = offer(sender, { count: 9_216, bytes: kib })
  for (let tries = 0; tries < 8 && sender.lastAcceptedAtMs === undefined; tries += 1) await trySending(sender)
  destination.slowAboveBytes = Infinity
  destination.triedBytes.length = 0
  await sender.drain(signal, atOnce)
  const times = (count: number, bytes: number): readonly number[] => Array.from({ length: count }, () => bytes)
  const grown = [...times(7, limitBytes / 8), ...times(8, limitBytes / 4), ...times(8, limitBytes / 2), limitBytes]
  expect(destination.triedBytes.slice(0, grown.length)).toEqual(grown)
  expect(arrived(destination)).toEqual(lines)
})

test('sends everything once and in order on a line that stays slow', async () => {
  const { sender, destination } = await open()
  destination.slowAboveBytes = 100 * kib
  const lines = offer(sender, { count: 2_048, bytes: kib })
  for (let tries = 0; !sender.isIdle && tries < 100; tries += 1) await trySending(sender)
  expect(arrived(destination)).toEqual(lines)
  expect(sender.queue.heldBytes).toBe(0)
})

test('goes on at once with what is left of a backlog after a smaller batch', async () => {
  const { sender, destination } = await open()
  destination.slowAboveBytes = 64 * kib
  offer(sender, { count: 512, bytes: kib })
  for (let tries = 0; tries < 8 && sender.lastAcceptedAtMs === undefined; tries += 1) await trySending(sender)
  expect(sender.isFull).toBe(false)
  expect(sender.dueLane()).toBe(3)
})

test('makes no batch smaller than 16 KiB, and sends a greater event alone', async () => {
  const { sender, destination } = await open()
  destination.slowAboveBytes = 0
  offer(sender, { count: 64, bytes: kib })
  for (let tries = 0; tries < 5; tries += 1) await trySending(sender)
  expect(destination.triedBytes.slice(2)).toEqual([floorBytes, floorBytes, floorBytes])

  const greater = await open()
  greater.destination.slowAboveBytes = 0
  const lines = offer(greater.sender, { count: 3, bytes: 100 * kib })
  for (let tries = 0; tries < 6; tries += 1) await trySending(greater.sender)
  expect(greater.destination.triedBytes.slice(-2)).toEqual([100 * kib, 100 * kib])
  greater.destination.slowAboveBytes = Infinity
  await greater.sender.drain(signal, atOnce)
  expect(arrived(greater.destination)).toEqual(lines)
})

test('keeps the size of its batches when it is throttled or denied', async () => {
  const { sender, destination } = await open()
  offer(sender, { count: 1_024, bytes: kib })
  destination.failures.set('app', new AgentError('throttled', { retryable: true }))
  await trySending(sender)
  destination.failures.set('app', new AgentError('denied'))
  await trySending(sender)
  destination.failures.clear()
  await trySending(sender)
  expect(destination.triedBytes).toEqual([limitBytes, limitBytes, limitBytes])
})

test('tries at once what failed after it was told that what held it up may be over, and rests after the next', async () => {
  const { sender, destination } = await open()
  offer(sender, { count: 1_024, bytes: kib })
  destination.slowAboveBytes = 0
  const inFlight = sender.send(signal)
  await vi.advanceTimersByTimeAsync(59_000)
  sender.retryNow()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await inFlight).toBe('failed')
  expect(sender.dueLane()).toBe(3)
  destination.whenSlow = 'breaks'
  expect(await sender.send(signal)).toBe('failed')
  expect(sender.dueLane()).toBeUndefined()
})

test('keeps lines of one moment in order over batches while the reading of the clock trembles', async () => {
  let readings = 0
  const nowMs = Date.now()
  const { sender, destination } = await open(() => nowMs + ((readings += 1) % 2))
  offer(sender, { count: 4_096, bytes: kib })
  await sender.drain(signal, atOnce)
  const stamps = destination.events(target).map(({ timestampMs }) => timestampMs)
  expect(stamps).toHaveLength(4_096)
  expect(new Set(stamps).size).toBe(1)
})

async function open(
  cloudNow = Date.now,
): Promise<{ readonly sender: LogStreamSender; readonly destination: FakeLogDestination }> {
  const parts = new SendParts({ cloudNow })
  await parts.make(target.stream)
  return { destination: parts.destination, sender: parts.sender() }
}

/** Offers lines that count `bytes` each; answers their numbers. */
function offer(sender: LogStreamSender, { count, bytes }: { count: number; bytes: number }): readonly number[] {
  const messageBytes = bytes - overheadBytes
  const numbers = Array.from({ length: count }, (_, at) => at)
  for (const number of numbers) {
    sender.offer(sourceEvent(`${number} `.padEnd(messageBytes, 'x'), { atMs: performance.now() }))
  }
  return numbers
}

function arrived(destination: FakeLogDestination): readonly number[] {
  return destination.messages(target).map((message) => Number.parseInt(message, 10))
}

/** One try, to the end of its deadline if it comes to that, and the rest after it. */
async function trySending(sender: LogStreamSender): Promise<void> {
  const tried = sender.send(signal)
  await vi.advanceTimersByTimeAsync(60_000)
  await tried
  await vi.advanceTimersByTimeAsync(120_000)
}
