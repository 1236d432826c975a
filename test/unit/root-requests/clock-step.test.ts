import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { ClockStep } from '../../../agent/root-requests/clock-step.ts'
import { FakeRootRequests } from '../../support/fake-root-requests.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'

const nowMs = Date.UTC(2027, 5, 1, 12)
const minuteMs = 60_000
const hourMs = 60 * minuteMs

beforeEach(() => {
  vi.useFakeTimers({ now: nowMs, toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

function make({ offsetMs = 3 * hourMs, known = true } = {}) {
  const cloud = { offsetMs, known }
  const requests = new FakeRootRequests()
  const log = new RecordingLog()
  const clock = {
    now: () => Date.now() + cloud.offsetMs,
    offsetMs: () => cloud.offsetMs,
    lastKnownMs: () => (cloud.known ? nowMs : undefined),
  }
  return { cloud, requests, log, step: new ClockStep({ clock, requests, log }) }
}

async function pass(forMs: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(forMs)
}

test('has a clock set that is off, to cloud time', async () => {
  const { requests, step, log, cloud } = make()
  requests.answer = () => {
    cloud.offsetMs = 0
    return { result: 'done', code: 'ok' }
  }
  await using _ = running(step.worker)
  await pass(1)
  expect(requests.asked).toEqual([{ verb: 'set-clock', argument: '2027-06-01T15:00:00.000Z' }])
  expect(step.status()).toMatchObject({ result: 'done', code: 'ok' })
  expect(log.entries).toMatchObject([{ level: 'info', message: 'the system clock was set', fields: { offsetSeconds: 10_800 } }]) // prettier-ignore
  await pass(100 * hourMs)
  expect(requests.asked).toHaveLength(1)
})

test.each([0, 59_000, -60_000])('leaves a clock alone that is %d ms off', async (offsetMs) => {
  const { requests, step } = make({ offsetMs })
  await using _ = running(step.worker)
  await pass(2 * hourMs)
  expect(requests.asked).toEqual([])
  expect(step.status()).toBeUndefined()
})

test('asks for nothing while no server has told the time, and soon after one has', async () => {
  const { requests, step, cloud } = make({ known: false })
  await using _ = running(step.worker)
  await pass(hourMs)
  expect(requests.asked).toEqual([])
  cloud.known = true
  await pass(11_000)
  expect(requests.asked).toHaveLength(1)
})

test.each([
  { result: 'done', code: 'ok' },
  { result: 'refused', code: 'verb-not-allowed' },
  { result: 'refused', code: 'clock-is-synchronised' },
  { result: 'failed', code: 'clock-not-set' },
  { result: 'no answer', code: 'not-taken' },
] as const)('asks ever more rarely while the clock stays off after $result $code', async (answer) => {
  const { requests, step } = make()
  requests.answer = () => answer
  await using _ = running(step.worker)
  await pass(hourMs)
  expect(requests.asked).toHaveLength(1)
  await pass(hourMs + 2 * minuteMs)
  expect(requests.asked).toHaveLength(2)
  await pass(3 * hourMs)
  expect(requests.asked).toHaveLength(2)
  await pass(100 * 24 * hourMs)
  expect(requests.asked.length).toBeGreaterThan(90)
  expect(requests.asked.length).toBeLessThan(110)
  expect(step.worker.health().state).toBe('ok')
})

test('says what to do where the image does not allow it, without alarm', async () => {
  const { requests, step, log } = make()
  requests.answer = () => ({ result: 'refused', code: 'verb-not-allowed' })
  await using _ = running(step.worker)
  await pass(1)
  expect(log.entries.map(({ level }) => level)).toEqual(['info'])
  expect(log.entries[0]?.fields['hint']).toContain('/etc/panorama-agent/allowed/set-clock')
  expect(step.status()).toMatchObject({ result: 'refused', code: 'verb-not-allowed' })
})

test('warns when root does not answer', async () => {
  const { requests, step, log } = make()
  requests.answer = () => ({ result: 'no answer', code: 'not-taken' })
  await using _ = running(step.worker)
  await pass(1)
  expect(log.messages('warn')).toEqual(['the system clock could not be set'])
  expect(step.status()).toMatchObject({ result: 'no answer', code: 'not-taken' })
})

test('goes on when root cannot be asked', async () => {
  const { requests, step, log } = make()
  requests.answer = () => {
    throw new AgentError('no room', { retryable: true })
  }
  await using _ = running(step.worker)
  await pass(3 * hourMs)
  expect(requests.asked).toHaveLength(2)
  expect(log.messages('warn')).toEqual(['root cannot be asked to set the system clock', 'root cannot be asked to set the system clock']) // prettier-ignore
  expect(step.worker.health().state).toBe('ok')
  expect(step.status()).toMatchObject({ result: 'failed', code: 'not-asked' })
})

test('stops while root is at it', async () => {
  const { requests, step } = make()
  requests.answer = async (signal) => {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => {
      reject(signal.reason)
    })
    return await promise
  }
  const worker = running(step.worker)
  await pass(1)
  expect(requests.asked).toHaveLength(1)
  await worker.stop()
  expect(step.status()).toBeUndefined()
})
