import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../agent/lib/errors.ts'
import { createProvisioningWorker } from '../../agent/composition/first-boot/provisioning-worker.ts'
import { Quotas } from '../cloud/quotas.ts'
import { CountingLog } from '../support/counting-log.ts'
import { peakRate } from '../support/request-peaks.ts'
import { running } from '../support/running-worker.ts'

const count = 300
const perSecond = 2
const evenMs = (count / perSecond) * 1_000
const tickMs = 1_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
  vi.spyOn(Math, 'random').mockImplementation(repeatableRandom(1))
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test('gets the last of many appliances through the quota in little more than twice the time of an even flow', async () => {
  await using floor = switchOn()
  await floor.untilProvisioned()
  expect(floor.lastMs() / evenMs).toBeLessThan(2.5)
  expect(floor.refusals() / count).toBeLessThan(5)
})

test('brings them back spread after an outage in which all of them waited', async () => {
  await using floor = switchOn()
  await vi.advanceTimersByTimeAsync(60_000)
  floor.setReachable(false)
  await vi.advanceTimersByTimeAsync(60_000)
  floor.setReachable(true)
  const waiting = count - floor.provisioned()
  const sinceMs = performance.now()
  await floor.untilProvisioned()
  const backMs = floor.firstTries(sinceMs)
  expect(backMs).toHaveLength(waiting)
  expect(peakRate(backMs, tickMs)).toBeLessThan(waiting / 10)
  expect(floor.lastMs() / evenMs).toBeLessThan(4)
})

/** Workers as appliances have them, on a cloud that is nothing but its quotas. */
function switchOn() {
  const quotas = new Quotas()
  quotas.scale(perSecond / 10)
  const cloud = { isReachable: true, refusals: 0 }
  const ends: number[] = []
  const tries: { readonly appliance: number; readonly atMs: number }[] = []
  const resources = new AsyncDisposableStack()
  for (let appliance = 0; appliance < count; appliance += 1) {
    const state = { hasCertificate: false }
    const take = (action: string): void => {
      if (quotas.take('iot-provisioning', action)) return
      cloud.refusals += 1
      throw new AgentError(`${action}: 429`, { retryable: true, isOverloaded: true })
    }
    const { worker } = createProvisioningWorker({
      provision: async () => {
        await Promise.resolve()
        tries.push({ appliance, atMs: performance.now() })
        if (!cloud.isReachable) throw new AgentError('there is no connection', { retryable: true })
        if (!state.hasCertificate) take('CreateCertificateFromCsr')
        state.hasCertificate = true
        take('RegisterThing')
        return { id: 'id', thingName: `thing-${appliance}`, certificateId: 'id', certificate: '', privateKey: '' }
      },
      console: { show: () => Promise.resolve() },
      log: new CountingLog(),
      onProvisioned: () => ends.push(performance.now()),
    })
    resources.use(running(worker))
  }
  const beganMs = performance.now()
  return {
    setReachable: (isReachable: boolean) => {
      cloud.isReachable = isReachable
    },
    provisioned: () => ends.length,
    refusals: () => cloud.refusals,
    lastMs: () => Math.max(...ends) - beganMs,
    untilProvisioned: async () => {
      for (let ticks = 0; ends.length < count && ticks < 3_600; ticks += 1) await vi.advanceTimersByTimeAsync(tickMs)
      expect(ends).toHaveLength(count)
    },
    /** Of each that tried since. */
    firstTries: (sinceMs: number): readonly number[] => {
      const since = Map.groupBy(
        tries.filter(({ atMs }) => atMs >= sinceMs),
        ({ appliance }) => appliance,
      )
      const firsts = [...since.values()].map(([first]) => (first?.atMs ?? 0) - sinceMs)
      return firsts.toSorted((one, other) => one - other)
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** The same numbers in every run (mulberry32). */
function repeatableRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    const mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    const twice = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((twice ^ (twice >>> 14)) >>> 0) / 2 ** 32
  }
}
