import { afterEach, expect, test, vi } from 'vitest'

import type { SecretOutcome } from '../../../agent/cameras/secret-reader.ts'
import { SecretReads } from '../../../agent/cameras/secret-reads.ts'
import { AgentError, DeadlineError } from '../../../agent/lib/errors.ts'
import { FakeSecretReader } from '../../support/fake-secret-reader.ts'
import { RecordingLog } from '../../support/recording-log.ts'

afterEach(() => {
  vi.useRealTimers()
})

const { signal } = new AbortController()
const hourMs = 3_600_000

/** Reads of secrets that are all there, by their ids. */
function make(count: number) {
  const secretIds = Array.from({ length: count }, (_, index) => `secret-${index}`)
  const reader = new FakeSecretReader()
  for (const secretId of secretIds) reader.set(secretId, { versionId: `v-${secretId}`, text: 'a:b' })
  const log = new RecordingLog()
  const reads = new SecretReads({ reader, secretIds, log })
  const outcomes = new Map<string, SecretOutcome>()
  const read = async (wanted: readonly string[] = secretIds, stop = signal): Promise<void> => {
    reader.batches.length = 0
    reader.singles.length = 0
    outcomes.clear()
    const onOutcome = (secretId: string, outcome: SecretOutcome): void => {
      if (outcomes.has(secretId)) throw new Error(`${secretId} is told twice`)
      outcomes.set(secretId, outcome)
    }
    await reads.read({ wanted: new Set(wanted), onOutcome, signal: stop })
  }
  const readIds = (): readonly string[] =>
    [...outcomes].filter(([, { kind }]) => kind === 'read').map(([secretId]) => secretId)
  return { secretIds, reader, log, reads, outcomes, read, readIds }
}

test.each([
  [0, [], 0],
  [1, [], 1],
  [2, [2], 0],
  [20, [20], 0],
  [21, [20], 1],
  [100, [20, 20, 20, 20, 20], 0],
])('reads %i secrets in batches of %j, and %i by itself', async (count, batches, singles) => {
  const { reader, read, readIds } = make(count)
  await read()
  expect(reader.batches.map(({ length }) => length)).toEqual(batches)
  expect(reader.singles).toHaveLength(singles)
  expect(readIds()).toHaveLength(count)
})

test('reads those that are wanted and no others', async () => {
  const { reader, read, readIds } = make(50)
  await read(['secret-3', 'secret-4', 'secret-45'])
  expect(reader.batches).toEqual([['secret-3', 'secret-4']])
  expect(reader.singles).toEqual(['secret-45'])
  expect(readIds()).toEqual(expect.arrayContaining(['secret-3', 'secret-4', 'secret-45']))
})

test('reads one that a batch leaves out by itself', async () => {
  const { reader, read, readIds } = make(20)
  reader.leaveOut('secret-7')
  await read()
  expect(reader.singles).toEqual(['secret-7'])
  expect(readIds()).toHaveLength(20)
})

test('lets a secret that fails in a batch fail alone, without asking again', async () => {
  const { reader, read, readIds, outcomes } = make(20)
  const error = new AgentError('denied')
  reader.set('secret-7', error)
  await read()
  expect(outcomes.get('secret-7')).toEqual({ kind: 'failed', error })
  expect(readIds()).toHaveLength(19)
  expect(reader.singles).toEqual([])
})

test('reads one by one for six hours after a batch was denied, and says so once', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const { reader, read, readIds, reads, log } = make(25)
  reader.isBatchDenied = () => true
  await read()
  expect([reader.batches.length, reader.singles.length, readIds().length]).toEqual([2, 25, 25])
  expect(reads.denied()?.error.message).toBe('the batch is denied')
  for (let hours = 1; hours < 6; hours += 1) {
    vi.advanceTimersByTime(hourMs)
    await read()
    expect([reader.batches.length, reader.singles.length]).toEqual([0, 25])
  }
  vi.advanceTimersByTime(hourMs)
  await read()
  expect([reader.batches.length, reader.singles.length]).toEqual([2, 25])
  expect(log.messages('warn')).toEqual(['secrets are read one by one, because a batch of them is denied'])
})

test('goes back to batches when they are allowed again, and says so', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const { reader, read, reads, log } = make(40)
  reader.isBatchDenied = () => true
  await read()
  reader.isBatchDenied = () => false
  vi.advanceTimersByTime(6 * hourMs)
  await read()
  expect([reader.batches.length, reader.singles.length]).toEqual([2, 0])
  expect(reads.denied()).toBeUndefined()
  expect(log.messages('info')).toEqual(['secrets are read in batches again'])
})

test('leaves the other batches alone when one is denied for a secret in it', async () => {
  const { reader, read, readIds } = make(60)
  reader.isBatchDenied = (secretIds) => secretIds.includes('secret-30')
  reader.set('secret-30', new AgentError('denied by the endpoint'))
  await read()
  await read()
  expect([reader.batches.length, reader.singles.length, readIds().length]).toEqual([2, 20, 59])
})

test('lets a throttled batch rest, without asking for its secrets one by one', async () => {
  const { reader, read, outcomes } = make(20)
  const error = new AgentError('throttled', { retryable: true, isOverloaded: true })
  reader.batchFault = error
  await read()
  expect(reader.singles).toEqual([])
  expect([...outcomes.values()]).toEqual(Array.from({ length: 20 }, () => ({ kind: 'failed', error })))
})

test.each([
  ['that is refused for what one of its secrets is called', new AgentError('invalid')],
  ['that does not answer', new DeadlineError('the batch', 20_000)],
])('reads the secrets of a batch %s one by one', async (_, fault) => {
  const { reader, read, readIds } = make(20)
  reader.batchFault = fault
  await read()
  expect([reader.singles.length, readIds().length]).toEqual([20, 20])
})

test('gives up reading one by one when nothing at all gets through', async () => {
  const { reader, read, outcomes } = make(100)
  reader.batchFault = new DeadlineError('the batch', 20_000)
  reader.beforeAnswer = () => {
    throw new AgentError('no network', { retryable: true })
  }
  await read()
  expect(reader.singles).toHaveLength(8)
  expect([...outcomes.values()].filter(({ kind }) => kind === 'failed')).toHaveLength(100)
})

test('comes to a secret that can be read, however many that fail are before it', async () => {
  const { reader, read, readIds } = make(60)
  reader.isBatchDenied = () => true
  reader.beforeAnswer = (secretId) => {
    if (secretId !== 'secret-59') throw new AgentError('it fails', { retryable: true })
  }
  for (let readings = 0; readings < 9 && readIds().length === 0; readings += 1) await read()
  expect(readIds()).toEqual(['secret-59'])
})

test('reads all others while some hang, and keeps those apart from then on', async () => {
  const { reader, read, readIds } = make(60)
  reader.isBatchDenied = () => true
  const hung = Array.from({ length: 7 }, (_, index) => `secret-${index}`)
  const late = Promise.withResolvers<undefined>()
  reader.beforeAnswer = async (secretId) => {
    if (!hung.includes(secretId)) return
    await late.promise
    throw new DeadlineError('it', 20_000)
  }
  const first = read()
  await vi.waitFor(() => {
    expect(readIds()).toHaveLength(53)
  })
  late.resolve(undefined)
  await first

  const again = Promise.withResolvers<undefined>()
  const more = [...hung, 'secret-50', 'secret-51', 'secret-52']
  reader.beforeAnswer = async (secretId) => {
    if (more.includes(secretId)) await again.promise
  }
  const second = read()
  await vi.waitFor(() => {
    expect(readIds()).toHaveLength(50)
  })
  again.resolve(undefined)
  await second
  expect(readIds()).toHaveLength(60)
})

test('ends at once when it is stopped, and tells nothing more', async () => {
  const { reader, read, outcomes } = make(60)
  const stop = new AbortController()
  reader.isBatchDenied = () => true
  for (const index of [0, 1, 2]) reader.hold(`secret-${index}`)
  const ended = expect(read(undefined, stop.signal)).rejects.toThrow('stop')
  await vi.waitFor(() => {
    expect(outcomes.size).toBe(57)
  })
  stop.abort(new Error('stop'))
  await ended
  expect(outcomes.size).toBe(57)
})
