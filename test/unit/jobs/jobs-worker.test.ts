import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { JobUpdate } from '../../../agent/jobs/jobs-service.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
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

function statuses(updates: readonly JobUpdate[]): readonly string[] {
  return updates.map(({ status }) => status)
}

test('takes a job that was queued before it started, and reports what came of it', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', { ...sync, artifacts: ['detector'] })
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['sync detector'])
  expect(statuses(appliance.service.updates)).toEqual(['IN_PROGRESS', 'SUCCEEDED'])
  expect(appliance.service.details(key)).toEqual({ detector: 'release-7' })
})

test('takes jobs one after the other, oldest first, when it is notified', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.start()
  const keys = ['job-1', 'job-2', 'job-3'].map((jobId) =>
    appliance.service.queue(jobId, { ...sync, artifacts: [jobId] }),
  )
  for (const key of keys) expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['sync job-1', 'sync job-2', 'sync job-3'])
})

test('sets a step timer in the cloud that outlasts the deadline of the operation', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', { ...sync, timeoutSeconds: 600 })
  appliance.start()
  await appliance.ended(key)
  expect(appliance.service.updates[0]?.stepTimeoutMinutes).toBe(15)
})

test('rejects a document that it does not know, with the path of each fault', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', { ...sync, artefacts: [], timeoutSeconds: 1 })
  appliance.start()
  expect(await appliance.ended(key)).toBe('REJECTED')
  expect(appliance.service.details(key)?.['faults']).toContain('artefacts: is not a known field')
  expect(appliance.service.details(key)?.['faults']).toContain('timeoutSeconds: ')
  expect(appliance.actions.calls).toEqual([])
})

test('reports what an operation fails with, and goes on with the next job', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.refreshCameras = () => Promise.reject(new AgentError('dock-3: denied', { hint: 'allow it' }))
  const bad = appliance.service.queue('job-1', { version: '1.0', operation: 'refresh-cameras' })
  const good = appliance.service.queue('job-2', sync)
  appliance.start()
  expect(await appliance.ended(bad)).toBe('FAILED')
  expect(appliance.service.details(bad)).toEqual({ reason: 'dock-3: denied', hint: 'allow it' })
  expect(await appliance.ended(good)).toBe('SUCCEEDED')
})

test('does not run a job again whose report got lost, and reports it once more', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  let lost = 0
  service.beforeUpdate = ({ status }) => {
    if (status === 'SUCCEEDED' && lost++ < 1) throw new AgentError('no answer', { retryable: true })
  }
  const key = service.queue('job-1', sync)
  appliance.start()
  await until(() => lost === 1)
  service.notify()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['sync all'])
})

test('reports an outcome after a restart that it could not report before', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  service.beforeUpdate = ({ status }) => {
    if (status === 'IN_PROGRESS') return
    service.isOnline = false
    throw new AgentError('the link is down', { retryable: true })
  }
  const key = service.queue('job-1', sync)
  appliance.start()
  await until(() => appliance.worker.status().unreported === 1)
  await appliance.stop()
  service.beforeUpdate = () => undefined
  service.isOnline = true
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['sync all'])
})

test('does not run a job that is delivered again after it ended', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  const key = service.queue('job-1', sync)
  appliance.start()
  await appliance.ended(key)
  const [execution] = [{ ...key, status: 'QUEUED' as const, versionNumber: 1, document: sync }]
  let asked = 0
  Object.assign(service, { next: () => Promise.resolve(asked++ === 0 ? execution : undefined) })
  service.notify()
  await until(() => asked > 0)
  await appliance.stop()
  expect(appliance.actions.calls).toEqual(['sync all'])
})

test('runs a job again that was deleted and made anew under its id', async () => {
  await using appliance = await JobsAppliance.open()
  const first = appliance.service.queue('job-1', sync)
  appliance.start()
  await appliance.ended(first)
  appliance.service.delete(first)
  const second = appliance.service.queue('job-1', sync)
  expect(await appliance.ended(second)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['sync all', 'sync all'])
})

test.each(['CANCELED', 'TIMED_OUT', 'REMOVED'] as const)('ends the operation of a job that is %s', async (status) => {
  await using appliance = await JobsAppliance.open()
  const ends: unknown[] = []
  appliance.actions.syncArtifacts = async (_names, { signal }) =>
    await neverEnds(signal).catch((error: unknown) => {
      ends.push(error)
      throw error
    })
  const key = appliance.service.queue('job-1', sync)
  appliance.start()
  await until(() => appliance.worker.status().current !== undefined)
  appliance.service.end(key, status)
  await until(() => appliance.worker.status().current === undefined)
  expect(ends).toEqual([expect.objectContaining({ name: 'WithdrawnError' })])
  const next = appliance.service.queue('job-2', { version: '1.0', operation: 'refresh-cameras' })
  expect(await appliance.ended(next)).toBe('SUCCEEDED')
  expect(appliance.service.status(key)).toBe(status)
})

test('ends the operation of a job that is deleted', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const key = appliance.service.queue('job-1', sync)
  appliance.start()
  await until(() => appliance.worker.status().current !== undefined)
  appliance.service.delete(key)
  await until(() => appliance.worker.status().last?.status === 'WITHDRAWN')
})

test('leaves an operation behind that ignores its end, and goes on', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.syncArtifacts = async () => await new Promise(() => undefined)
  const key = appliance.service.queue('job-1', sync)
  appliance.start()
  await until(() => appliance.worker.status().current !== undefined)
  appliance.service.end(key, 'CANCELED')
  const next = appliance.service.queue('job-2', { version: '1.0', operation: 'refresh-cameras' })
  expect(await appliance.ended(next)).toBe('SUCCEEDED')
  expect(appliance.log.messages('error')).toContain('operation ignores its end and is left behind')
})

test('takes a job up again that a stop of the agent cut off', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const key = appliance.service.queue('job-1', sync)
  appliance.start()
  await until(() => appliance.worker.status().current !== undefined)
  await appliance.stop()
  expect(appliance.service.status(key)).toBe('IN_PROGRESS')
  appliance.actions.syncArtifacts = () => Promise.resolve({ detector: 'release-8' })
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.service.details(key)).toEqual({ detector: 'release-8' })
})

test('gives a job up that every run of the agent was cut off in', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const key = appliance.service.queue('job-1', sync)
  for (let attempt = 0; attempt < 5; attempt += 1) {
    appliance.start()
    await until(() => appliance.worker.status().current !== undefined)
    await until(async () =>
      (await readFile(join(appliance.ledgerFolder, 'ledger.json'), 'utf8')).includes(`"attempts":${attempt + 1}`),
    )
    await appliance.stop()
  }
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)?.['reason']).toContain('cut off 5 times')
})

test('fails a job that was begun before the ledger was lost, and does nothing about it', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', sync)
  await appliance.service.update({ execution: key, status: 'IN_PROGRESS', details: {} }, new AbortController().signal)
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)?.['reason']).toContain('ledger')
  expect(appliance.actions.calls).toEqual([])
})

test('begins nothing while the ledger cannot be read', async () => {
  await using appliance = await JobsAppliance.open()
  await writeFile(appliance.ledgerFolder, 'a file where the folder should be')
  const key = appliance.service.queue('job-1', sync)
  appliance.start()
  await until(() => appliance.worker.worker.health().state === 'failing')
  expect(appliance.service.status(key)).toBe('QUEUED')
  expect(appliance.actions.calls).toEqual([])
})

test('fails a job that it cannot write down, as the service may try again, and does nothing about it', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', sync)
  appliance.start({
    ledger: {
      find: () => Promise.resolve(undefined),
      unreported: () => Promise.resolve([]),
      running: () => Promise.resolve([]),
      put: () => Promise.reject(new Error('no space left on device')),
    },
  })
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)?.['reason']).toContain('no space left on device')
  expect(appliance.service.details(key)?.['hint']).toContain('then make the job again')
  expect(appliance.actions.calls).toEqual([])
})

test('waits without a connection, and asks at once when there is one', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.service.isOnline = false
  appliance.start()
  await until(() => appliance.worker.worker.health().state === 'failing')
  const key = appliance.service.queue('job-1', sync)
  appliance.service.connect()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
})

test('proves control by an update of the running job', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.syncArtifacts = async (_names, { signal }) => await neverEnds(signal)
  const { signal } = new AbortController()
  appliance.start()
  await expect(appliance.worker.proveControl(signal)).rejects.toThrow('no job runs')
  const waiter = new AbortController()
  const [begun, left] = [appliance.worker.untilRunning(signal), appliance.worker.untilRunning(waiter.signal)]
  waiter.abort(new Error('the trial is over'))
  await expect(left).rejects.toThrow('the trial is over')
  appliance.service.queue('job-1', sync)
  await begun
  await appliance.worker.untilRunning(signal)
  expect(appliance.worker.status().current).toMatchObject({ jobId: 'job-1' })
  await until(() => appliance.service.updates.length > 0)
  const before = appliance.service.updates.length
  await appliance.worker.proveControl(signal)
  expect(appliance.service.updates.length).toBe(before + 1)
  appliance.service.isOnline = false
  await expect(appliance.worker.proveControl(signal)).rejects.toThrow('no connection')
})
