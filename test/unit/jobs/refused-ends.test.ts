import { expect, test } from 'vitest'

import type { JobUpdate, UpdateOutcome } from '../../../agent/jobs/jobs-service.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { monotonicMs } from '../../../agent/lib/monotonic.ts'
import { until } from '../../support/wait-until.ts'
import { JobsAppliance } from './jobs-fixture.ts'

const refresh = { version: '1.0', operation: 'refresh-cameras' }
const refused: UpdateOutcome = { kind: 'refused', error: new AgentError('InvalidRequest', { retryable: true }) }
const isFirst = ({ execution }: JobUpdate): boolean => execution.jobId === 'job-1'
const isEnd = (update: JobUpdate): boolean => update.status !== 'IN_PROGRESS'

/** Has it asked again at once, whatever it would wait for. */
const hurried = (appliance: JobsAppliance, isReached: () => boolean): Promise<void> =>
  until(() => {
    appliance.service.notify()
    return isReached()
  })

test('a job whose end is refused for good is said, and holds up no other, nor one that nobody told of', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  service.answer = (update) => (isFirst(update) && isEnd(update) ? refused : undefined)
  const first = service.queue('job-1', refresh)
  const second = service.queue('job-2', refresh)
  appliance.start()
  const isGivenUp = (): boolean => appliance.log.messages('error').length > 0
  await hurried(appliance, isGivenUp)
  expect(await appliance.ended(second)).toBe('SUCCEEDED')
  expect(service.status(first)).toBe('IN_PROGRESS')
  expect(appliance.worker.status().unreported).toBe(0)
  expect(appliance.log.entries.filter(({ level }) => level === 'error')).toMatchObject([
    { fields: { jobId: 'job-1', status: 'SUCCEEDED', why: 'InvalidRequest' } },
  ])
})

test('a job that may not begin for good is not done, and holds up no other', async () => {
  await using appliance = await JobsAppliance.open()
  const { service, actions } = appliance
  service.answer = (update) => (isFirst(update) ? refused : undefined)
  service.queue('job-1', refresh)
  appliance.start()
  await hurried(appliance, () => appliance.log.messages('error').includes(text))
  expect(actions.calls).toEqual([])
  expect(appliance.worker.status().last).toMatchObject({ status: 'FAILED', endRefused: 'InvalidRequest' })
  const second = service.queue('job-2', refresh)
  expect(await appliance.ended(second)).toBe('SUCCEEDED')
  expect(actions.calls).toEqual(['refresh all'])
})

test('a job that is given out again after its end was taken holds up no other, and is reported again after a restart', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  const state: { answer: UpdateOutcome | undefined } = { answer: { kind: 'gone' } }
  service.answer = (update) => (isFirst(update) && isEnd(update) ? state.answer : undefined)
  const first = service.queue('job-1', refresh)
  appliance.start({ askAgainMs: 1 })
  await until(() => appliance.worker.status().last?.endRefused !== undefined)
  expect(appliance.worker.status().last).toMatchObject({ jobId: 'job-1', endRefused: 'it gives the job out again' })
  expect(await appliance.ended(service.queue('job-2', refresh))).toBe('SUCCEEDED')
  await appliance.stop()
  state.answer = undefined
  appliance.start()
  expect(await appliance.ended(first)).toBe('SUCCEEDED')
  expect(appliance.actions.calls).toEqual(['refresh all', 'refresh all'])
})

test('the queue is looked at often while AWS does not take an end, and no longer than it does not', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  service.answer = (update) => (isEnd(update) ? refused : undefined)
  const key = service.queue('job-1', refresh)
  appliance.start()
  const restsMs = (): number => (appliance.worker.worker.health().nextPassMs ?? 0) - monotonicMs()
  await hurried(appliance, () => appliance.log.messages('error').includes(text))
  await until(() => restsMs() > 60_000 && restsMs() <= 300_000)
  service.end(key, 'TIMED_OUT')
  await until(() => restsMs() > 3_600_000)
})

test('a passing refusal of an end costs nothing', async () => {
  await using appliance = await JobsAppliance.open()
  const { service } = appliance
  let left = 2
  service.answer = (update) => {
    if (!isEnd(update) || left === 0) return undefined
    left -= 1
    return refused
  }
  const key = service.queue('job-1', refresh)
  appliance.start()
  await hurried(appliance, () => service.status(key) === 'SUCCEEDED')
  expect(appliance.log.messages('error')).not.toContain(text)
})

const text = 'AWS IoT does not take the end of a job: it is reported no more'
