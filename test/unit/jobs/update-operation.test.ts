import { expect, test } from 'vitest'

import type { RootAnswer, UpdateReport } from '../../../agent/jobs/job-actions.ts'
import { JobLedger, type LedgerEntry } from '../../../agent/jobs/job-ledger.ts'
import type { JobsWorkerDeps } from '../../../agent/jobs/jobs-worker.ts'
import { until } from '../../support/wait-until.ts'
import { JobsAppliance } from './jobs-fixture.ts'

const update = { version: '1.0', operation: 'update-agent', artifact: 'agent', confirmSeconds: 60 }
const none: UpdateReport = { kind: 'none' }
const trial: UpdateReport = { kind: 'trial' }
const confirmed: UpdateReport = { kind: 'ended', outcome: 'confirmed', from: '1.0.0', to: '1.1.0' }

/** Root, as far as a job sees it: it takes what it is asked for, and the update ends when the test says so. */
async function opened(answer: RootAnswer = { result: 'done', code: 'ok' }) {
  const appliance = await JobsAppliance.open()
  const { actions } = appliance
  const root = { report: none, ids: new Array<string>() }
  actions.update = {
    version: '1.0.0',
    candidate: () => Promise.resolve('1.1.0'),
    report: (id) => {
      root.ids.push(id)
      return Promise.resolve(root.report)
    },
  }
  actions.requestRoot = ({ verb, argument = '' }) => {
    actions.calls.push(`root ${verb} ${argument}`)
    if (answer.result === 'done') root.report = trial
    return Promise.resolve(answer)
  }
  return { appliance, actions, service: appliance.service, root }
}

test('syncs the artifact, asks root once, and succeeds with the new version', async () => {
  const { appliance, actions, service, root } = await opened()
  await using _ = appliance
  const key = service.queue('job-1', update)
  appliance.start()
  await until(() => root.report.kind === 'trial')
  expect(actions.calls).toEqual(['sync agent', expect.stringMatching(/^root install-update agent:60:[0-9a-f]{16}$/)])
  root.report = confirmed
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(service.details(key)).toEqual({ version: '1.1.0', from: '1.0.0' })
})

test('tells that root is asked, for as long as it has not answered', async () => {
  const { appliance, actions, service, root } = await opened()
  await using _ = appliance
  const answer = Promise.withResolvers<RootAnswer>()
  actions.requestRoot = () => answer.promise
  const key = service.queue('job-1', update)
  appliance.start()
  await until(() => service.details(key)?.['step'] === 'install')
  root.report = confirmed
  answer.resolve({ result: 'done', code: 'ok' })
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
})

test.each<[string, UpdateReport, string, object]>([
  ['is kept', confirmed, 'SUCCEEDED', { version: '1.1.0', from: '1.0.0' }],
  [
    'was taken back',
    { kind: 'ended', outcome: 'rolled-back', from: '1.0.0', to: '1.1.0', reason: 'it failed to start 3 times' },
    'FAILED',
    { reason: 'it failed to start 3 times', version: '1.0.0', tried: '1.1.0' },
  ],
])('tells after the restart that the update %s, and asks for none', async (_what, report, status, details) => {
  const { appliance, actions, service, root } = await opened()
  await using _ = appliance
  const key = service.queue('job-1', update)
  appliance.start()
  await until(() => root.report.kind === 'trial')
  await appliance.stop()
  expect(service.status(key)).toBe('IN_PROGRESS')
  root.report = report
  appliance.start()
  expect(await appliance.ended(key)).toBe(status)
  expect(service.details(key)).toEqual(details)
  expect(actions.calls).toHaveLength(2)
  expect(new Set(root.ids).size).toBe(1)
})

test('asks again, under the same id, where root knows nothing of it', async () => {
  const { appliance, actions, service, root } = await opened()
  await using _ = appliance
  const key = service.queue('job-1', update)
  appliance.start()
  await until(() => root.report.kind === 'trial')
  await appliance.stop()
  root.report = none
  appliance.start()
  await until(() => root.report.kind === 'trial')
  root.report = confirmed
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  const [, first, second] = actions.calls
  expect(second).toBe(first)
})

test('is not given up while root has it, however often the agent is restarted', async () => {
  const { appliance, service, root } = await opened()
  await using _ = appliance
  const key = service.queue('job-1', update)
  for (let restarts = 0; restarts < 7; restarts += 1) {
    appliance.start()
    const looked = root.ids.length
    await until(() => root.ids.length > looked)
    await appliance.stop()
  }
  root.report = confirmed
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
})

test.each<[RootAnswer, string]>([
  [{ result: 'refused', code: 'no-way-back' }, 'installed.deb'],
  [{ result: 'refused', code: 'bad-signature' }, 'sign the package'],
  [{ result: 'refused', code: 'unexpected-version' }, 'expectedVersion'],
  [{ result: 'refused', code: 'argument-not-allowed' }, 'allowed/install-update'],
  [{ result: 'failed', code: 'no-space' }, 'free some space'],
  [{ result: 'no answer', code: 'not-taken' }, 'panorama-agent-request.path'],
])('fails with a hint when root says %o', async (answer, hint) => {
  const { appliance, service } = await opened(answer)
  await using _ = appliance
  const key = service.queue('job-1', update)
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  const { code, hint: said } = service.details(key) ?? {}
  expect(code).toBe(answer.code)
  expect(said).toContain(hint)
})

test('succeeds where the package is what is installed', async () => {
  const { appliance, service } = await opened({ result: 'done', code: 'already-installed' })
  await using _ = appliance
  const key = service.queue('job-1', update)
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(service.details(key)).toEqual({ version: '1.0.0', changes: 'none' })
})

test('has root check the version that is expected', async () => {
  const { appliance, actions, service, root } = await opened()
  await using _ = appliance
  const key = service.queue('job-1', { ...update, expectedVersion: '1.1.0' })
  appliance.start()
  await until(() => root.report.kind === 'trial')
  expect(actions.calls[1]).toMatch(/^root install-update agent:60:[0-9a-f]{16}:1\.1\.0$/)
  root.report = confirmed
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
})

test('asks root for nothing where another version is expected', async () => {
  const { appliance, actions, service } = await opened()
  await using _ = appliance
  const key = service.queue('job-1', { ...update, expectedVersion: '1.2.0' })
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(service.details(key)).toEqual({ reason: 'agent holds version 1.1.0, and 1.2.0 is expected' })
  expect(actions.calls).toEqual(['sync agent'])
})

test('writes nothing of a job that has ended while a slow disk held it up, and asks for nothing any more', async () => {
  const { appliance, actions, service } = await opened()
  await using _ = appliance
  const candidate = Promise.withResolvers<string>()
  actions.update = { ...actions.update, candidate: () => candidate.promise }
  const { ledger, puts } = recordedLedger(appliance)
  const key = service.queue('job-1', update)
  appliance.start({ ledger })
  await until(() => actions.calls.includes('sync agent'))
  service.end(key, 'CANCELED')
  await until(() => appliance.worker.status().last?.status === 'WITHDRAWN')
  candidate.resolve('1.1.0')
  const next = service.queue('job-2', { version: '1.0', operation: 'refresh-cameras' })
  expect(await appliance.ended(next)).toBe('SUCCEEDED')
  const last = puts.findLast(({ jobId }) => jobId === key.jobId)
  expect(last).toMatchObject({ outcome: { status: 'WITHDRAWN' }, step: { name: 'begun' } })
  expect(actions.calls).toEqual(['sync agent', 'refresh all'])
})

function recordedLedger({ ledgerFolder: folder, log }: JobsAppliance) {
  const puts: LedgerEntry[] = []
  const kept = new JobLedger({ folder, log })
  const ledger: JobsWorkerDeps['ledger'] = {
    find: (key) => kept.find(key),
    unreported: () => kept.unreported(),
    running: () => kept.running(),
    put: async (entry) => {
      puts.push(entry)
      await kept.put(entry)
    },
  }
  return { ledger, puts }
}
