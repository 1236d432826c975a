import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { NotReadyError } from '../../../../agent/composition/first-boot/claim-provisioner.ts'
import type { StoredIdentity } from '../../../../agent/identity/stored-identity.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { createProvisioningWorker } from '../../../../agent/composition/first-boot/provisioning-worker.ts'
import { RecordingLog } from '../../../support/recording-log.ts'
import { running } from '../../../support/running-worker.ts'

const identity: StoredIdentity = { id: 'id', thingName: 'thing', certificateId: 'id', certificate: '', privateKey: '' }

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
  vi.spyOn(Math, 'random').mockReturnValue(1)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A worker whose attempts end with `fault`, until that is taken away. */
function failing(fault: AgentError | undefined) {
  const log = new RecordingLog()
  const shown: string[] = []
  const attempts: number[] = []
  const provisioned: string[] = []
  const now = { fault }
  const { worker } = createProvisioningWorker({
    provision: () => {
      attempts.push(performance.now())
      return now.fault === undefined ? Promise.resolve(identity) : Promise.reject(now.fault)
    },
    console: {
      show: async (text) => {
        shown.push(text)
        await Promise.resolve()
      },
    },
    log,
    onProvisioned: ({ thingName }) => provisioned.push(thingName),
  })
  return { worker, log, shown, attempts, provisioned, now }
}

const gapsOf = (attempts: readonly number[]): readonly number[] =>
  attempts.slice(1).map((at, index) => Math.round((at - (attempts[index] ?? 0)) / 1000))

test('backs off up to a quarter of an hour from a service that refuses, and says why once', async () => {
  const refusal = new AgentError('the claim is refused', { hint: 'mend it', retrySlowly: false })
  const { worker, attempts, log, shown } = failing(refusal)
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(2 * 3_600_000)
  expect(gapsOf(attempts).slice(0, 15)).toEqual([5, 8, 11, 17, 25, 38, 57, 85, 128, 192, 288, 432, 649, 900, 900])
  expect(log.entries[0]).toMatchObject({ level: 'error', message: 'the appliance is not provisioned' })
  expect(log.entries.length).toBeLessThan(attempts.length)
  expect(new Set(shown)).toEqual(new Set(['this appliance is not provisioned: the claim is refused - mend it']))
})

test('begins with longer waits where the service has more requests than it can take', async () => {
  const { worker, attempts } = failing(new AgentError('429', { retryable: true, isOverloaded: true }))
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(2 * 3_600_000)
  expect(gapsOf(attempts).slice(0, 12)).toEqual([17, 25, 38, 57, 85, 128, 192, 288, 432, 649, 900, 900])
})

test('spreads the waits over all of the time up to the longest, so that a factory floor does not come in step', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const { worker, attempts } = failing(new AgentError('429', { retryable: true, isOverloaded: true }))
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(gapsOf(attempts).slice(0, 4)).toEqual([9, 13, 19, 29])
})

test('looks every half minute for what is missing on the appliance itself', async () => {
  const { worker, attempts } = failing(new NotReadyError('there is no claim'))
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(600_000)
  expect(new Set(gapsOf(attempts))).toEqual(new Set([36]))
})

test('says what the appliance has become', async () => {
  const { worker, shown, provisioned, now } = failing(new AgentError('not yet', { retryable: true }))
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(1_000)
  now.fault = undefined
  await vi.advanceTimersByTimeAsync(10_000)
  expect(provisioned).toEqual(['thing'])
  expect(shown.at(-1)).toBe('provisioned as thing')
})
