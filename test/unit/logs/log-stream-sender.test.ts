import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { createLog } from '../../../agent/lib/log.ts'
import { LogStreamSender } from '../../../agent/logs/log-stream-sender.ts'
import { LogTally } from '../../../agent/logs/log-tally.ts'
import { FakeLogDestination } from '../../support/fake-log-destination.ts'
import { useFakeClock } from './log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const target = { group: 'g', stream: 'app' }
const kib = 1_024
const limitBytes = 1_024 * kib
const floorBytes = 16 * kib
const overheadBytes = 26
const { signal } = new AbortController()

test.for(['waits', 'breaks'] as const)(
  'halves its batches on a line that %s until one gets through',
  async (whenSlow) => {
    const { sender, destination } = await open()
    Object.assign(destination, { whenSlow, slowAboveBytes: 200 * kib })
    const lines = offer(sender, { count: 1_024, bytes: kib })
    await trySending(sender)
    await trySending(sender)
    await trySending(sender)
    expect(sender.lastError).toMatchObject({ retryable: true })
    await trySending(sender)
    expect(destination.triedBytes).toEqual([limitBytes, limitBytes / 2, limitBytes / 4, limitBytes / 8])
    expect(arrived(destination)).toEqual(lines.slice(0, 128))
    expect(sender.lastError).toBeUndefined()
  },
)

test('doubles its batches with every eighth that is accepted, up to the limit', async () => {
  const { sender, destination } = await open()
  destination.slowAboveBytes = 200 * kib
  const lines = offer(sender, { count: 9_216, bytes: kib })
  for (let tries = 0; tries < 8 && sender.lastAcceptedAtMs === undefined; tries += 1) await trySending(sender)
  destination.slowAboveBytes = Infinity
  destination.triedBytes.length = 0
  await sender.drain(signal)
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
  expect(sender.heldBytes).toBe(0)
})

test('goes on at once with what is left of a backlog after a smaller batch', async () => {
  const { sender, destination } = await open()
  destination.slowAboveBytes = 64 * kib
  offer(sender, { count: 512, bytes: kib })
  for (let tries = 0; tries < 8 && sender.lastAcceptedAtMs === undefined; tries += 1) await trySending(sender)
  expect(sender.isFull(limitBytes)).toBe(false)
  expect(sender.isDue(limitBytes)).toBe(true)
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
  await greater.sender.drain(signal)
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

test('keeps lines of one moment in order over batches while the reading of the clock trembles', async () => {
  let readings = 0
  const nowMs = Date.now()
  const { sender, destination } = await open(() => nowMs + ((readings += 1) % 2))
  offer(sender, { count: 4_096, bytes: kib })
  await sender.drain(signal)
  const stamps = destination.events(target).map(({ timestampMs }) => timestampMs)
  expect(stamps).toHaveLength(4_096)
  expect(new Set(stamps).size).toBe(1)
})

async function open(
  cloudNow = Date.now,
): Promise<{ readonly sender: LogStreamSender; readonly destination: FakeLogDestination }> {
  const destination = new FakeLogDestination()
  await destination.createGroup(target.group, signal)
  await destination.createStream(target, signal)
  const tally = new LogTally(createLog({ level: 'error', sinks: [] }))
  return { destination, sender: new LogStreamSender({ target, destination, cloudNow, tally }) }
}

/** Offers lines that count `bytes` each and are not due by themselves; answers their numbers. */
function offer(sender: LogStreamSender, { count, bytes }: { count: number; bytes: number }): readonly number[] {
  const messageBytes = bytes - overheadBytes
  const numbers = Array.from({ length: count }, (_, at) => at)
  for (const number of numbers) {
    const message = `${number} `.padEnd(messageBytes, 'x')
    sender.offer({ message, messageBytes, readAtMs: performance.now(), dueAtMs: Infinity, endBytes: 0 })
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
