import { expect, test } from 'vitest'

import type {
  ConfigureActions,
  ConfigureAnswer,
  ConfigureOutcome,
  RotationActions,
} from '../../../agent/jobs/job-actions.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { sleep } from '../../../agent/lib/sleep.ts'
import { until } from '../../support/wait-until.ts'
import { JobsAppliance } from './jobs-fixture.ts'

const document = (operation: string, more: object = {}) => ({ version: '1.0', operation, ...more })

test('rolls back to the release that was chosen before a crash, not to the one before that', async () => {
  await using appliance = await JobsAppliance.open()
  const { actions, service } = appliance
  actions.rollBack = async (_artifact, to, signal) => {
    actions.current = to
    await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(new AgentError('stopped'))
      })
    })
  }
  const key = service.queue('job-1', document('rollback-artifact', { artifact: 'detector' }))
  appliance.start()
  await until(() => actions.current === 'before-aaaa')
  await appliance.stop()
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(service.details(key)).toEqual({ artifact: 'detector', release: 'before-aaaa' })
})

test('reports a restart of the agent when another process takes the job up', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', document('restart-agent'))
  appliance.start()
  await until(() => appliance.actions.calls.includes('restart agent'))
  await appliance.stop()
  expect(appliance.service.status(key)).toBe('IN_PROGRESS')
  appliance.actions.processId = 'process-2'
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['restart agent'])
})

test('fails a restart of the agent where nothing would start it again', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.restartAgent = undefined
  const key = appliance.service.queue('job-1', document('restart-agent'))
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)?.['reason']).toContain('no service manager')
})

test('asks for a reboot once, and reports it after the boot', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', document('reboot'))
  appliance.start()
  await until(() => appliance.actions.calls.includes('root reboot '))
  await appliance.stop()
  appliance.start() // only the agent, before the machine goes down
  await until(() => appliance.worker.status().current !== undefined)
  await appliance.stop()
  expect(appliance.service.status(key)).toBe('IN_PROGRESS')
  appliance.actions.bootId = 'boot-2'
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['root reboot '])
})

test('fails a reboot that root refuses, and says what to do', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.requestRoot = () => Promise.resolve({ result: 'refused', code: 'not-allowed' })
  const key = appliance.service.queue('job-1', document('reboot'))
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)?.['reason']).toContain('refused, not-allowed; list the argument')
})

test('fails a restart of an application that the end of the agent cut off, and does not ask twice', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.requestRoot = async ({ argument = '' }, signal) => {
    appliance.actions.calls.push(`root ${argument}`)
    return await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(new AgentError('stopped'))
      })
    })
  }
  const key = appliance.service.queue('job-1', document('restart-application', { unit: 'detector.service' }))
  appliance.start()
  await until(() => appliance.actions.calls.length === 1)
  await appliance.stop()
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)?.['reason']).toContain('whether that is done is not known')
  expect(appliance.actions.calls).toEqual(['root detector.service'])
})

test('names the log stream that the diagnostics are in', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', document('collect-diagnostics'))
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.service.details(key)).toEqual({ stream: 'diagnostics/job-1', events: '3' })
})

const changes = [{ path: 'logs.flushSeconds', from: '15', to: '5' }]

/** Configure actions whose trial ends when the test says so. */
function trial(answer: ConfigureAnswer) {
  const outcome = Promise.withResolvers<ConfigureOutcome | undefined>()
  const calls: string[] = []
  let proposed = false
  const configure: ConfigureActions = {
    propose: ({ confirmSeconds }) => {
      calls.push(`propose ${confirmSeconds}`)
      proposed = true
      return Promise.resolve(answer)
    },
    dryRun: () => {
      calls.push('dry run')
      return Promise.resolve({ kind: 'changes', changes })
    },
    settled: async (_job, signal) => {
      if (!proposed) return undefined
      const ended = Promise.withResolvers<never>()
      signal.addEventListener('abort', () => {
        ended.reject(signal.reason)
      })
      return await Promise.race([outcome.promise, ended.promise])
    },
    revert: (_job, reason) => {
      calls.push(`revert: ${reason}`)
      outcome.resolve({ kind: 'reverted', number: 4, reason })
      return Promise.resolve()
    },
  }
  return { configure, calls, end: outcome.resolve }
}

const configure = document('configure', { patch: { logs: { flushSeconds: 5 } }, confirmSeconds: 60 })

test('reports a configuration that is accepted', async () => {
  await using appliance = await JobsAppliance.open()
  const { configure: actions, calls, end } = trial({ kind: 'trial', number: 4, changes })
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', configure)
  appliance.start()
  await until(() => appliance.service.details(key)?.['version'] === '4')
  end({ kind: 'accepted', number: 4 })
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(calls).toEqual(['propose 60'])
})

test('reports a configuration that was reverted while the agent was away', async () => {
  await using appliance = await JobsAppliance.open()
  const { configure: actions, calls, end } = trial({ kind: 'trial', number: 4, changes })
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', configure)
  appliance.start()
  await until(() => calls.length === 1)
  await appliance.stop()
  end({ kind: 'reverted', number: 4, reason: 'no credentials within 60 s' })
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)).toEqual({ reason: 'no credentials within 60 s', revertedVersion: '4' })
  expect(calls).toEqual(['propose 60'])
})

test('takes a configuration back whose job is cancelled', async () => {
  await using appliance = await JobsAppliance.open()
  const { configure: actions, calls } = trial({ kind: 'trial', number: 4, changes })
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', configure)
  appliance.start()
  await until(() => calls.length === 1)
  appliance.service.end(key, 'CANCELED')
  await until(() => calls.length === 2)
  expect(calls[1]).toBe('revert: the job was withdrawn')
})

test.each(['CANCELED', 'deleted'])(
  'takes a configuration back whose job was %s while the agent was away',
  async (how) => {
    await using appliance = await JobsAppliance.open()
    const { configure: actions, calls } = trial({ kind: 'trial', number: 4, changes })
    appliance.actions.configure = actions
    const key = appliance.service.queue('job-1', configure)
    appliance.start()
    await until(() => calls.length === 1)
    await appliance.stop()
    if (how === 'deleted') appliance.service.delete(key)
    else appliance.service.end(key, 'CANCELED')
    appliance.start()
    await until(() => calls.length === 2)
    expect(calls[1]).toBe('revert: the job was withdrawn')
    const next = appliance.service.queue('job-2', document('refresh-cameras'))
    expect(await appliance.ended(next)).toBe('SUCCEEDED')
  },
)

test.each<[ConfigureAnswer, string, object]>([
  [{ kind: 'unchanged', number: 3 }, 'SUCCEEDED', { version: '3', changes: 'none' }],
  [{ kind: 'conflict', number: 5 }, 'REJECTED', { version: '5' }],
  [{ kind: 'invalid', faults: [{ path: 'logs', message: 'is bad' }] }, 'REJECTED', { faults: 'logs: is bad' }],
])('reports %j', async (answer, status, details) => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.configure = trial(answer).configure
  const key = appliance.service.queue('job-1', configure)
  appliance.start()
  expect(await appliance.ended(key)).toBe(status)
  expect(appliance.service.details(key)).toMatchObject(details)
})

test('only shows what a dry run would change', async () => {
  await using appliance = await JobsAppliance.open()
  const { configure: actions, calls } = trial({ kind: 'trial', number: 4, changes })
  appliance.actions.configure = actions
  const key = appliance.service.queue('job-1', { ...configure, dryRun: true })
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.service.details(key)).toMatchObject({ dryRun: 'yes', changes: 'logs.flushSeconds: 15 -> 5' })
  expect(calls).toEqual(['dry run'])
})

test('rotates the certificate, and names the one to deactivate', async () => {
  await using appliance = await JobsAppliance.open()
  const key = appliance.service.queue('job-1', document('rotate-certificate'))
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual([`rotate job-1 1 ${key.queuedAt}`])
  expect(appliance.service.details(key)).toMatchObject({ certificateId: 'new', deactivate: 'old' })
})

test('takes certificates off the list of those that are to be deactivated, and says how many were on it', async () => {
  await using appliance = await JobsAppliance.open()
  const certificateIds = ['a'.repeat(64), 'b'.repeat(64)]
  const key = appliance.service.queue('job-1', document('forget-certificates', { certificateIds }))
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual([`forget ${certificateIds.join()}`])
  expect(appliance.service.details(key)).toMatchObject({ forgotten: '1' })
})

test('fails a rotation whose certificate was given up, and names the orphan', async () => {
  await using appliance = await JobsAppliance.open()
  const outcome = { kind: 'failed', reason: 'not proven', orphanCertificateId: 'orphan' } as const
  appliance.actions.rotation = { ...appliance.actions.rotation, settled: () => Promise.resolve(outcome) }
  const key = appliance.service.queue('job-1', document('rotate-certificate'))
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  expect(appliance.service.details(key)).toMatchObject({ reason: 'not proven', orphanCertificateId: 'orphan' })
})

test('names the orphan also where a rotation fails before its trial', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.rotation = {
    ...appliance.actions.rotation,
    begin: () => Promise.reject(new AgentError('the template has given it to another thing', { hint: 'mend it' })),
    settled: () => Promise.resolve({ kind: 'failed', reason: 'the same', orphanCertificateId: 'orphan' }),
  }
  const key = appliance.service.queue('job-1', document('rotate-certificate'))
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  const reason = 'the template has given it to another thing'
  expect(appliance.service.details(key)).toMatchObject({ reason, hint: 'mend it', orphanCertificateId: 'orphan' })
})

test('goes on with a rotation after the session was replaced, and does not give it up meanwhile', async () => {
  await using appliance = await JobsAppliance.open()
  const { rotation } = appliance.actions
  appliance.actions.rotation = { ...rotation, settled: onTrial }
  const key = appliance.service.queue('job-1', document('rotate-certificate'))
  appliance.start()
  await until(() => appliance.actions.calls.includes(`rotate job-1 1 ${key.queuedAt}`))
  await appliance.stop()
  expect(appliance.service.status(key)).toBe('IN_PROGRESS')
  appliance.actions.rotation = rotation
  appliance.start()
  expect(await appliance.ended(key)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual([`rotate job-1 1 ${key.queuedAt}`, `rotate job-1 1 ${key.queuedAt}`])
})

test('gives a rotation up that was withdrawn', async () => {
  await using appliance = await JobsAppliance.open()
  appliance.actions.rotation = { ...appliance.actions.rotation, settled: onTrial }
  const key = appliance.service.queue('job-1', document('rotate-certificate'))
  appliance.start()
  await until(() => appliance.actions.calls.includes(`rotate job-1 1 ${key.queuedAt}`))
  appliance.service.end(key, 'CANCELED')
  await until(() => appliance.actions.calls.some((call) => call.startsWith('give up job-1 1')))
  const { calls } = appliance.actions
  expect(calls).toContain(`give up job-1 1 ${key.queuedAt}: the job was withdrawn in the cloud`)
})

const onTrial: RotationActions['settled'] = async (_id, signal) => {
  await sleep(60_000, signal)
  throw new AgentError('the trial does not end')
}
