import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { provisionInForeground } from '../../../agent/commands/provision-by-claim.ts'
import type { StoredIdentity } from '../../../agent/identity/stored-identity.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const identity: StoredIdentity = { id: 'id', thingName: 'thing', certificateId: 'id', certificate: '', privateKey: '' }

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** Attempts that fail with `fault`, all or only the first. */
function attempting(fault: AgentError, failures = Infinity) {
  const log = new RecordingLog()
  const abort = new AbortController()
  const attempts = { count: 0 }
  const done = provisionInForeground({
    provision: (_, onStep) => {
      attempts.count += 1
      onStep('prove')
      onStep('prove')
      return attempts.count > failures ? Promise.resolve(identity) : Promise.reject(fault)
    },
    log,
    signal: abort.signal,
  })
  return { done: done.catch((error: unknown) => error), log, abort, attempts }
}

const busy = new AgentError('the server takes no more at the moment', { retryable: true })

test('tries again, and says so, what may pass by itself', async () => {
  const { done, log } = attempting(busy, 1)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(await done).toBe(identity)
  expect(log.messages('warn')).toEqual(['provisioning failed, and is tried again'])
})

test('says a step once, however often it is tried', async () => {
  const { done, log } = attempting(busy, 2)
  await vi.advanceTimersByTimeAsync(20_000)
  await done
  expect(log.messages('info')).toEqual(['provisioning'])
})

test('gives up after a minute', async () => {
  const { done, attempts } = attempting(busy)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(await done).toBe(busy)
  expect(attempts.count).toBeGreaterThan(3)
  expect(attempts.count).toBeLessThan(10)
})

test('does not try again what a person has to mend, nor after it was told to stop', async () => {
  const refused = new AgentError('the claim is refused')
  const { done, attempts } = attempting(refused)
  expect(await done).toBe(refused)
  expect(attempts.count).toBe(1)
  const stopped = attempting(busy)
  const reason = new Error('stop')
  await vi.advanceTimersByTimeAsync(1_000)
  stopped.abort.abort(reason)
  expect(await stopped.done).toBe(reason)
})
