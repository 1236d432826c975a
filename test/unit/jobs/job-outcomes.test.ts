import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { ConfigureActions, ConfigureOutcome } from '../../../agent/jobs/job-actions.ts'
import { JobLedger } from '../../../agent/jobs/job-ledger.ts'
import { until } from '../../support/wait-until.ts'
import { JobsAppliance } from './jobs-fixture.ts'

const configure = { version: '1.0', operation: 'configure', patch: { logs: { flushSeconds: 5 } } }
const refresh = { version: '1.0', operation: 'refresh-cameras' }
const never = new AbortController().signal

const untilAborted = async (signal: AbortSignal): Promise<never> => {
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => {
    reject(signal.reason)
  })
  return await promise
}

/** A configuration that a job has put on trial, or whose trial has ended. */
function configured(outcome?: ConfigureOutcome) {
  const reverts: string[] = []
  let known = outcome
  const actions: ConfigureActions = {
    propose: () => Promise.resolve({ kind: 'trial', number: 4, changes: [] }),
    dryRun: () => Promise.resolve({ kind: 'changes', changes: [] }),
    settled: async (_job, signal) => known ?? (await untilAborted(signal)),
    revert: (_job, reason) => {
      reverts.push(reason)
      known ??= { kind: 'reverted', number: 4, reason }
      return Promise.resolve()
    },
  }
  return { actions, reverts }
}

test('says of a configuration whose ledger was lost what came of it', async () => {
  await using appliance = await JobsAppliance.open()
  const { actions } = configured({ kind: 'accepted', number: 4 })
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', configure)
  await appliance.service.update({ execution: key, status: 'IN_PROGRESS', details: {} }, never)
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.service.details(key)).toEqual({ version: '4' })
})

test('takes back a configuration on trial whose ledger was lost', async () => {
  await using appliance = await JobsAppliance.open()
  const { actions, reverts } = configured()
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', configure)
  await appliance.service.update({ execution: key, status: 'IN_PROGRESS', details: {} }, never)
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(reverts).toHaveLength(1)
})

test('is not held up for good by a trial whose end the disk does not take', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.configure = {
    ...configured().actions,
    revert: () => Promise.resolve(),
    settled: async (_job, signal) => await untilAborted(signal),
  }
  const key = appliance.service.queue('job-1', configure)
  await appliance.service.update({ execution: key, status: 'IN_PROGRESS', details: {} }, never)
  appliance.start()
  await until(() => appliance.worker.worker.health().state === 'failing')
  expect(appliance.worker.worker.health().lastError?.message).toContain('the end of the trial did not finish')
  appliance.actions.configure = configured({ kind: 'reverted', number: 4, reason: 'no' }).actions
  appliance.service.notify()
  expect(await appliance.ended(key)).toBe('FAILED')
})

test('fails no configuration that was accepted before the disk took no more', async () => {
  await using appliance = await JobsAppliance.open()
  const { actions } = configured()
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', configure)
  appliance.start()
  const ledgerFile = join(appliance.ledgerFolder, 'ledger.json')
  await until(async () => (await readFile(ledgerFile, 'utf8').catch(() => '')).includes('proposing'))
  await appliance.stop()
  appliance.actions.configure = configured({ kind: 'accepted', number: 4 }).actions
  const ledger = new JobLedger({ folder: appliance.ledgerFolder, log: appliance.log })
  let refused = 0
  const put = async (entry: Parameters<JobLedger['put']>[0]): Promise<void> => {
    refused += 1
    if (refused === 1) throw new Error('no space left on device')
    await ledger.put(entry)
  }
  appliance.start({
    ledger: {
      find: ledger.find.bind(ledger),
      unreported: ledger.unreported.bind(ledger),
      running: ledger.running.bind(ledger),
      put,
    },
  })
  await until(() => appliance.worker.worker.health().state === 'failing')
  expect(appliance.service.status(key)).toBe('IN_PROGRESS')
  appliance.service.notify()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
})

test('brings a job to an end that was not found in the cloud for a while', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  const { actions } = configured()
  appliance.actions.configure = actions
  const key = service.queue('job-1', configure)
  appliance.start()
  await until(() => service.updates.length > 1)
  await appliance.stop()
  // as where the configuration on trial leads to another account
  const { next, isOpen } = service
  Object.assign(service, { next: () => Promise.resolve(undefined), isOpen: () => Promise.resolve(false) })
  appliance.start()
  await until(() => appliance.worker.worker.health().passes > 0)
  await appliance.stop()
  Object.assign(service, { next, isOpen })
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  const after = service.queue('job-2', refresh)
  expect(await appliance.ended(after)).toBe('SUCCEEDED')
})

test('proves control to the trial of a job by an update of that job only', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.refreshCameras = async (_names, signal) => await untilAborted(signal)
  const key = appliance.service.queue('job-2', refresh)
  appliance.start()
  await appliance.worker.untilRunning(never)
  await expect(appliance.worker.proveControl(never, { jobId: 'job-1', executionNumber: 1 })).rejects.toThrow('no job')
  await appliance.worker.proveControl(never, key)
})

test('takes back what was put on trial after its job was withdrawn', async () => {
  await using appliance = await JobsAppliance.open()
  const { actions, reverts } = configured()
  const proposed = Promise.withResolvers<undefined>()
  let proposals = 0
  appliance.actions.configure = {
    ...actions,
    propose: async () => {
      proposals += 1
      await proposed.promise
      return { kind: 'trial', number: 4, changes: [] }
    },
    settled: async (_job, signal) => {
      signal.throwIfAborted()
      return await untilAborted(signal)
    },
  }
  const key = appliance.service.queue('job-1', configure)
  appliance.start()
  await until(() => proposals === 1)
  appliance.service.end(key, 'CANCELED')
  await until(() => appliance.worker.status().last?.status === 'WITHDRAWN')
  const before = reverts.length
  proposed.resolve(undefined)
  await until(() => reverts.length > before)
})

test('takes no outcome of a deleted job for that of one that was made anew under its id', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  const outcomes = new Map<string, ConfigureOutcome>()
  let proposals = 0
  let isCutOff = false
  appliance.actions.configure = {
    ...configured().actions,
    propose: async ({ job }, signal) => {
      proposals += 1
      if (isCutOff) return await untilAborted(signal)
      outcomes.set(JSON.stringify(job), { kind: 'accepted', number: proposals })
      return { kind: 'trial', number: proposals, changes: [] }
    },
    settled: (job) => Promise.resolve(outcomes.get(JSON.stringify(job))),
  }
  const first = service.queue('job-1', configure)
  appliance.start()
  expect(await appliance.ended(first)).toBe('SUCCEEDED')
  service.delete(first)
  isCutOff = true
  const second = service.queue('job-1', configure)
  await until(() => proposals === 2)
  await appliance.stop()
  isCutOff = false
  appliance.start()
  expect(await appliance.ended(second)).toBe('SUCCEEDED')
  expect(proposals).toBe(3)
})
