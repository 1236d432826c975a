import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import type { FetchedCredentials } from '../../../agent/credentials/credential-source.ts'
import { RoleCredentials } from '../../../agent/credentials/role-credentials.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { sleep } from '../../../agent/lib/sleep.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'

const hourMs = 3_600_000
const minuteMs = 60_000

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** Hands out key-1, key-2, ...; fails while `failure` is set. */
class FakeSource {
  lifetimeMs = hourMs
  takesMs = 0
  failure: Error | undefined
  readonly startedMs: number[] = []
  #fetched = 0

  async fetch(signal: AbortSignal): Promise<FetchedCredentials> {
    this.startedMs.push(performance.now())
    await sleep(this.takesMs, signal)
    if (this.failure !== undefined) throw this.failure
    this.#fetched += 1
    const { lifetimeMs } = this
    return { accessKeyId: `key-${this.#fetched}`, secretAccessKey: 'secret', sessionToken: 'token', lifetimeMs }
  }
}

function make(random = () => 0.5): { source: FakeSource; credentials: RoleCredentials; log: RecordingLog } {
  const source = new FakeSource()
  const log = new RecordingLog()
  const credentials = new RoleCredentials({ name: 'role', source, log, random })
  return { source, credentials, log }
}

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0)
}

async function keyOf(credentials: RoleCredentials): Promise<string> {
  const [held] = await Promise.all([credentials.get(), settle()])
  return held.accessKeyId
}

test('answers twenty callers at once with one fetch', async () => {
  const { source, credentials } = make()
  source.takesMs = 500
  await using _ = running(credentials.worker)
  const callers = Array.from({ length: 20 }, async () => (await credentials.get()).accessKeyId)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(new Set(await Promise.all(callers))).toEqual(new Set(['key-1']))
  expect(source.startedMs).toHaveLength(1)
})

test('lets callers that come before the worker has started wait for it', async () => {
  const { credentials } = make()
  const early = credentials.get()
  await settle()
  await using _ = running(credentials.worker)
  await settle()
  expect((await early).accessKeyId).toBe('key-1')
})

test.each([
  [0, 0.5],
  [0.5, 0.65],
  [0.999_999, 0.8],
])('refreshes, when it draws %d, after the share %d of the lifetime', async (drawn, share) => {
  const { source, credentials } = make(() => drawn)
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(share * hourMs - 1_000)
  expect(source.startedMs).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(source.startedMs).toHaveLength(2)
  expect(await keyOf(credentials)).toBe('key-2')
})

test('serves the held credentials without waiting while a refresh is under way', async () => {
  const { source, credentials } = make()
  await using _ = running(credentials.worker)
  await settle()
  source.takesMs = 10_000
  await vi.advanceTimersByTimeAsync(0.65 * hourMs + 1)
  expect(source.startedMs).toHaveLength(2)
  expect(await keyOf(credentials)).toBe('key-1')
  await vi.advanceTimersByTimeAsync(10_000)
  expect(await keyOf(credentials)).toBe('key-2')
})

test('serves valid credentials up to their true end while every refresh fails, then fails at once', async () => {
  const { source, credentials } = make()
  await using _ = running(credentials.worker)
  await settle()
  source.failure = new AgentError('the line is down', { retryable: true, hint: 'check the network' })
  await vi.advanceTimersByTimeAsync(hourMs - 1)
  expect(credentials.worker.health().state).toBe('failing')
  expect(await keyOf(credentials)).toBe('key-1')
  await vi.advanceTimersByTimeAsync(1)
  const fetches = source.startedMs.length
  await expect(credentials.get()).rejects.toMatchObject({
    message: 'no credentials: the line is down',
    retryable: true,
    hint: 'check the network',
  })
  expect(source.startedMs).toHaveLength(fetches)
})

test('counts the lifetime from the moment at which the request was sent', async () => {
  const { source, credentials } = make()
  source.takesMs = 5_000
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(5_000)
  expect((await credentials.get()).expiresMs).toBe((source.startedMs[0] ?? 0) + hourMs)
})

test('gives callers credentials again within one back-off once the endpoint is back', async () => {
  const { source, credentials } = make()
  source.failure = new AgentError('the line is down', { retryable: true })
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(hourMs)
  await expect(credentials.get()).rejects.toThrow('the line is down')
  source.failure = undefined
  await vi.advanceTimersByTimeAsync(minuteMs)
  expect(await keyOf(credentials)).toBe('key-1')
})

test('throws what the fetch threw to the caller that waited for it', async () => {
  const { source, credentials } = make()
  source.failure = new AgentError('denied', { hint: 'allow it' })
  const rejected = expect(credentials.get()).rejects.toBe(source.failure)
  await using _ = running(credentials.worker)
  await settle()
  await rejected
})

test('drops invalidated credentials and fetches new ones at once, and once only', async () => {
  const { source, credentials } = make()
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(minuteMs)
  for (let caller = 0; caller < 10; caller += 1) credentials.invalidate('key-1')
  expect(credentials.currentKeyId()).toBeUndefined()
  expect(await keyOf(credentials)).toBe('key-2')
  expect(source.startedMs).toHaveLength(2)
})

test.each([['key-0'], [undefined]])('keeps its credentials when those of %s are invalidated', async (keyId) => {
  const { source, credentials } = make()
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(minuteMs)
  credentials.invalidate(keyId)
  expect(await keyOf(credentials)).toBe('key-1')
  expect(source.startedMs).toHaveLength(1)
})

test('never fetches twice within 30 seconds, however often fresh credentials are refused', async () => {
  const { source, credentials } = make()
  await using _ = running(credentials.worker)
  for (let second = 0; second < 300; second += 1) {
    credentials.invalidate(await keyOf(credentials))
    await vi.advanceTimersByTimeAsync(1_000)
  }
  const gapsMs = source.startedMs.slice(1).map((startMs, index) => startMs - (source.startedMs[index] ?? 0))
  expect(source.startedMs.length).toBeGreaterThan(5)
  expect(Math.min(...gapsMs)).toBeGreaterThanOrEqual(30_000)
})

test.each([1, 500, 10_000])(
  'never fetches twice within 30 seconds when credentials live for %d ms',
  async (lifetimeMs) => {
    const { source, credentials } = make()
    source.lifetimeMs = lifetimeMs
    source.takesMs = 2_000
    await using _ = running(credentials.worker)
    for (let second = 0; second < 300; second += 1) {
      credentials.get().catch(() => undefined)
      await vi.advanceTimersByTimeAsync(1_000)
    }
    const gapsMs = source.startedMs.slice(1).map((startMs, index) => startMs - (source.startedMs[index] ?? 0))
    expect(source.startedMs.length).toBeGreaterThan(3)
    expect(Math.min(...gapsMs)).toBeGreaterThanOrEqual(30_000)
  },
)

test('never hands out credentials that have ended', async () => {
  const { source, credentials } = make()
  source.lifetimeMs = 1_000
  source.takesMs = 2_000
  const rejected = expect(credentials.get()).rejects.toMatchObject({
    message: 'the credentials expired on arrival',
    retryable: true,
  })
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(2_000)
  await rejected
})

test('tells how often it fetched and what it holds', async () => {
  const { source, credentials } = make()
  expect(credentials.status()).toEqual({ fetches: 0, held: undefined })
  await using _ = running(credentials.worker)
  await settle()
  expect(credentials.status()).toMatchObject({ fetches: 1, held: { accessKeyId: 'key-1' } })
  source.failure = new AgentError('the line is down', { retryable: true })
  await vi.advanceTimersByTimeAsync(hourMs)
  expect(credentials.status()).toEqual({ fetches: 1, held: undefined })
})

test('stops in the middle of a fetch', async () => {
  const { source, credentials, log } = make()
  source.takesMs = hourMs
  const run = running(credentials.worker)
  await settle()
  const rejected = expect(credentials.get()).rejects.toThrow('role is stopping')
  await run.stop()
  await rejected
  expect(vi.getTimerCount()).toBe(0)
  expect(log.entries).toEqual([])
})

test('fails a caller at once after it has stopped', async () => {
  const { credentials } = make()
  await running(credentials.worker).stop()
  await expect(credentials.get()).rejects.toMatchObject({ message: 'role is stopping', retryable: true })
})

test('keeps secrets out of the log whatever happens', async () => {
  const { source, credentials, log } = make()
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(hourMs)
  source.failure = new AgentError('the line is down', { retryable: true })
  await vi.advanceTimersByTimeAsync(2 * hourMs)
  expect(log.entries.length).toBeGreaterThan(0)
  expect(JSON.stringify(log.entries)).not.toMatch(/"(secret|token)"/)
})

test('renews at once when it is asked to, in the middle of a back-off, and not while it holds valid ones', async () => {
  const { source, credentials } = make()
  source.failure = new AgentError('denied')
  await using _ = running(credentials.worker)
  await settle()
  source.failure = undefined
  await expect(credentials.get()).rejects.toThrow('denied')
  await Promise.all([credentials.renewNow(), settle()])
  expect(credentials.currentKeyId()).toBe('key-1')
  await Promise.all([credentials.renewNow(), settle()])
  expect(source.startedMs).toHaveLength(2)
})

test('tells listeners when credentials come after a time without any, and not at a refresh', async () => {
  const { source, credentials } = make()
  const listener = vi.fn()
  const left = vi.fn()
  credentials.onRenewed(listener)
  credentials.onRenewed(left)[Symbol.dispose]()
  source.failure = new AgentError('no network', { retryable: true })
  await using _ = running(credentials.worker)
  await vi.advanceTimersByTimeAsync(10 * minuteMs)
  expect(listener).not.toHaveBeenCalled()
  source.failure = undefined
  await vi.advanceTimersByTimeAsync(minuteMs)
  expect(listener).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(hourMs)
  expect(source.startedMs.length).toBeGreaterThan(2)
  expect(listener).toHaveBeenCalledTimes(1)
  expect(left).not.toHaveBeenCalled()
})

test('renews invalidated credentials also right after a refresh that failed', async () => {
  const { source, credentials } = make(() => 0)
  await using _ = running(credentials.worker)
  expect(await keyOf(credentials)).toBe('key-1')
  source.failure = new AgentError('no network', { retryable: true })
  await vi.advanceTimersByTimeAsync(hourMs / 2 + 100)
  source.failure = undefined
  credentials.invalidate('key-1')
  expect(await keyOf(credentials)).toBe('key-2')
})
