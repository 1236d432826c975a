import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { passTime, passTimeUntil, simulateTime } from '../../support/simulated-time.ts'
import { until } from '../../support/wait-until.ts'
import { JobsAppliance } from './jobs-fixture.ts'

const sync = { version: '1.0', operation: 'sync-artifacts' }
const neverEnds = async (signal: AbortSignal): Promise<never> => {
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => {
    reject(signal.reason)
  })
  return await promise
}

test('ends the operation of a job when it is the proof of control that learns of its withdrawal', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const { service } = appliance
  const key = service.queue('job-1', sync)
  appliance.start()
  await until(() => service.updates.length === 1)
  service.notify = () => undefined
  service.end(key, 'TIMED_OUT')
  await expect(appliance.worker.proveControl(new AbortController().signal)).rejects.toThrow('withdrawn')
  await until(() => appliance.worker.status().last?.status === 'WITHDRAWN')
})

test('asks again for a job that it was told of and that the service does not give out yet', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  const next = service.next
  let asked = 0
  Object.assign(service, {
    next: async (signal: AbortSignal) => {
      asked += 1
      return asked === 2 ? undefined : await next(signal)
    },
  })
  appliance.start()
  await until(() => asked === 1 && appliance.worker.worker.health().state === 'ok')
  const key = service.queue('job-1', sync)
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
})

test.each([
  { kind: 'accepted' as const, status: 'SUCCEEDED' },
  { kind: 'reverted' as const, status: 'FAILED' },
])('says of a configuration that was cut off too often what came of it: $kind', async ({ kind, status }) => {
  await using appliance = await JobsAppliance.open()
  const { service, actions } = appliance
  const key = service.queue('job-1', { version: '1.0', operation: 'configure', patch: { logs: { flushSeconds: 7 } } })
  const propose = () => Promise.resolve({ kind: 'trial' as const, number: 1, changes: [] })
  actions.configure = { ...actions.configure, propose, settled: async (_job, signal) => await neverEnds(signal) }
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    appliance.start()
    await until(async () =>
      (await readFile(join(appliance.ledgerFolder, 'ledger.json'), 'utf8').catch(() => '')).includes(
        `"attempts":${attempt},`,
      ),
    )
    await until(async () => (await readFile(join(appliance.ledgerFolder, 'ledger.json'), 'utf8')).includes('proposing'))
    await appliance.stop()
  }
  actions.configure = {
    ...actions.configure,
    settled: () => Promise.resolve({ kind, number: 1, reason: 'taken back' }),
  }
  appliance.start()
  expect(await appliance.ended(key)).toBe(status)
})

test('asks again soon whether a job was withdrawn when the question got no answer', async () => {
  await using appliance = await JobsAppliance.open()
  using _ = simulateTime()
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const { service } = appliance
  const isOpen = service.isOpen
  let asked = 0
  Object.assign(service, {
    isOpen: async (...question: Parameters<typeof isOpen>) => {
      asked += 1
      if (asked < 3) throw new AgentError('no answer', { retryable: true })
      return await isOpen(...question)
    },
  })
  const key = service.queue('job-1', sync)
  appliance.start()
  await passTimeUntil(() => service.updates.length === 1, { withinMs: 10_000, stepMs: 1 })
  service.end(key, 'CANCELED')
  const isWithdrawn = (): boolean => appliance.worker.status().last?.status === 'WITHDRAWN'
  await passTimeUntil(() => asked === 3, { withinMs: 10_000, stepMs: 100 })
  await passTimeUntil(isWithdrawn, { withinMs: 20_000, stepMs: 1 }) // what it writes meanwhile takes real time
  expect(asked).toBe(3)
})

const configureJob = { version: '1.0', operation: 'configure', patch: { logs: { flushSeconds: 7 } } }
const onTrial = () => Promise.resolve({ kind: 'trial' as const, number: 1, changes: [] })
const isConfirmed = () => Promise.resolve({ kind: 'accepted' as const, number: 1 })
const toldOfEnd = 'job was ended in the cloud before its outcome arrived: what it did stays'

test('says so when a job was cancelled too late, whose configuration had been confirmed', async () => {
  await using appliance = await JobsAppliance.open()
  const { service, actions, log } = appliance
  const key = service.queue('job-1', configureJob)
  service.beforeUpdate = ({ status }) => {
    if (status === 'SUCCEEDED') service.end(key, 'CANCELED')
  }
  actions.configure = { ...actions.configure, propose: onTrial, settled: isConfirmed }
  appliance.start()
  await until(() => appliance.worker.status().last?.cloudStatus !== undefined)
  expect(appliance.worker.status().last).toMatchObject({ status: 'SUCCEEDED', cloudStatus: 'CANCELED' })
  expect(log.messages('warn')).toEqual([toldOfEnd])
  await until(() => appliance.worker.status().unreported === 0)
})

test('says the same when it hears of the cancellation while it learns that the configuration was confirmed', async () => {
  await using appliance = await JobsAppliance.open()
  const { service, actions } = appliance
  const key = service.queue('job-1', configureJob)
  let isSettled = false
  actions.configure = {
    ...actions.configure,
    propose: onTrial,
    settled: async (_job, signal) => (isSettled ? await isConfirmed() : await neverEnds(signal)),
    revert: () => {
      isSettled = true // too late
      return Promise.resolve()
    },
  }
  appliance.start()
  await until(() => appliance.worker.status().current !== undefined)
  service.end(key, 'CANCELED')
  await until(() => appliance.worker.status().last?.cloudStatus === 'CANCELED')
  expect(appliance.worker.status().last).toMatchObject({ status: 'SUCCEEDED' })
})

test('says after a restart what stays of a job that was cancelled meanwhile', async () => {
  await using appliance = await JobsAppliance.open()
  const { service, actions, log } = appliance
  const key = service.queue('job-1', configureJob)
  actions.configure = {
    ...actions.configure,
    propose: onTrial,
    settled: async (_job, signal) => await neverEnds(signal),
  }
  appliance.start()
  await until(async () =>
    (await readFile(join(appliance.ledgerFolder, 'ledger.json'), 'utf8').catch(() => '')).includes('proposing'),
  )
  await appliance.stop()
  service.end(key, 'CANCELED')
  actions.configure = { ...actions.configure, settled: isConfirmed }
  appliance.start()
  await until(() => log.messages('warn').includes(toldOfEnd))
  const isReported = async (): Promise<boolean> =>
    (await readFile(join(appliance.ledgerFolder, 'ledger.json'), 'utf8')).includes('"reported":true')
  await until(isReported)
})

test('says how a job ended that was cancelled while the agent was away', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const key = service.queue('job-1', sync)
  appliance.start()
  await appliance.worker.untilRunning(new AbortController().signal)
  await appliance.stop()
  service.end(key, 'CANCELED')
  appliance.start()
  await until(() => appliance.worker.status().last?.status === 'WITHDRAWN')
  expect(appliance.log.messages('warn')).toContain('job ended')
})

test('says which operation a rejected job was meant to be', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', { version: '1.0', operation: 'reboot', now: true })
  appliance.start()
  expect(await appliance.ended(key)).toBe('REJECTED')
  await until(() => appliance.worker.status().last !== undefined)
  expect(appliance.worker.status().last?.operation).toBe('reboot')
})

test('tells nothing of a job that was deleted while there was no connection to one made anew under its id', async () => {
  await using appliance = await JobsAppliance.open()
  using _ = simulateTime()
  const { actions, service } = appliance
  const runs: (readonly string[] | undefined)[] = []
  actions.syncArtifacts = async (names, { signal }) => {
    runs.push(names)
    return runs.length === 1 ? await neverEnds(signal) : {}
  }
  const first = service.queue('job-1', { ...sync, artifacts: ['first'] })
  appliance.start()
  await passTimeUntil(() => runs.length === 1, { withinMs: 10_000, stepMs: 1 })
  service.isOnline = false
  service.delete(first)
  await passTime({ forMs: 600_000, stepMs: 10_000 })
  const second = service.queue('job-1', { ...sync, artifacts: ['second'] })
  service.connect()
  await passTimeUntil(() => runs.length === 2, { withinMs: 60_000, stepMs: 10 })
  await passTimeUntil(() => service.status(second) === 'SUCCEEDED', { withinMs: 10_000, stepMs: 1 })
  expect(runs).toEqual([['first'], ['second']])
})
