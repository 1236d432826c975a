import { beforeEach, describe, expect, it } from 'vitest'

import { compareQueues } from '../../../cloud/iot/jobs/job-queue.ts'
import { Jobs } from '../../../cloud/iot/jobs/jobs.ts'
import type { CreateJob } from '../../../cloud/iot/jobs/jobs-control.ts'

const thing = 'dock-1'
const minuteMs = 60_000

describe('jobs', () => {
  let nowMs: number
  let jobs: Jobs
  let notified: string[]

  beforeEach(() => {
    nowMs = 1_000_000
    notified = []
    jobs = new Jobs({
      now: () => nowMs,
      thingExists: (name) => name.startsWith('dock-'),
      onChange: (_thing, before, after) => {
        const { pendingChanged, nextChanged } = compareQueues(before, after)
        notified.push([pendingChanged ? 'notify' : '', nextChanged ? 'notify-next' : ''].join(' ').trim())
      },
    })
  })

  const create = (jobId: string, options: Partial<CreateJob> = {}): void => {
    jobs.createJob({ jobId, targets: [thing], document: { operation: 'reboot' }, ...options })
  }
  const status = (jobId: string, executionNumber?: number): string =>
    jobs.describeExecution(thing, jobId, executionNumber).status
  const finish = (jobId: string, as: 'SUCCEEDED' | 'FAILED' | 'REJECTED' = 'SUCCEEDED'): void => {
    jobs.update(jobs.describeExecution(thing, jobId), { status: as })
  }
  const passes = (minutes: number): void => {
    nowMs += minutes * minuteMs
    jobs.tick()
  }

  it('hands out what is in progress first, then by creation, until nothing is left', () => {
    create('a')
    create('b')

    expect(jobs.startNext(thing, {})?.jobId).toBe('a')
    expect(jobs.startNext(thing, {})?.jobId).toBe('a')
    finish('a')
    expect(jobs.startNext(thing, {})?.jobId).toBe('b')
    finish('b')
    expect(jobs.startNext(thing, {})).toBeUndefined()
    expect(jobs.listJobs().map((job) => [job.jobId, job.status])).toEqual([
      ['a', 'COMPLETED'],
      ['b', 'COMPLETED'],
    ])
  })

  it('notifies of what is pending, and of what is next only when that is another one', () => {
    create('a')
    create('b')
    jobs.startNext(thing, {})
    jobs.update(jobs.describeExecution(thing, 'a'), { status: 'IN_PROGRESS', statusDetails: { step: 'one' } })
    finish('a')
    finish('b', 'REJECTED')

    expect(notified).toEqual(['notify notify-next', 'notify', 'notify notify-next', 'notify notify-next'])
  })

  it('notifies when a later one is started before the first', () => {
    create('a')
    create('b')
    jobs.update(jobs.describeExecution(thing, 'b'), { status: 'IN_PROGRESS' })

    expect(notified).toEqual(['notify notify-next', 'notify', 'notify-next'])
  })

  it('times out after the time of the job, and after the time of the step', () => {
    create('a', { inProgressTimeoutInMinutes: 10 })
    create('b')
    passes(60)
    expect(status('a')).toBe('QUEUED')
    jobs.startNext(thing, { stepTimeoutInMinutes: 60 })
    passes(9)
    expect(status('a')).toBe('IN_PROGRESS')
    passes(1)
    expect(status('a')).toBe('TIMED_OUT')

    jobs.startNext(thing, { stepTimeoutInMinutes: 2 })
    passes(1)
    jobs.update(jobs.describeExecution(thing, 'b'), { status: 'IN_PROGRESS', stepTimeoutInMinutes: 2 })
    passes(1)
    expect(status('b')).toBe('IN_PROGRESS')
    passes(1)
    expect(status('b')).toBe('TIMED_OUT')
  })

  it('cancels what is queued, and what is in progress only by force', () => {
    create('a')
    create('b')
    jobs.startNext(thing, {})
    jobs.cancelJob('a')
    jobs.cancelJob('b')

    expect([status('a'), status('b')]).toEqual(['IN_PROGRESS', 'CANCELED'])
    jobs.cancelJob('a', { force: true })
    expect(status('a')).toBe('CANCELED')
  })

  it('cancels one execution, which it refuses of one in progress without force, and of one at its end', () => {
    create('a', { targets: [thing, 'dock-2'] })
    jobs.startNext(thing, {})

    expect(() => {
      jobs.cancelExecution(thing, 'a')
    }).toThrow(/InvalidStateTransitionException: a is IN_PROGRESS on/)
    expect(status('a')).toBe('IN_PROGRESS')
    jobs.cancelExecution('dock-2', 'a')
    expect(jobs.describeExecution('dock-2', 'a').status).toBe('CANCELED')
    jobs.cancelExecution(thing, 'a', { force: true })
    expect(status('a')).toBe('CANCELED')
    expect(() => {
      jobs.cancelExecution(thing, 'a', { force: true })
    }).toThrow(/InvalidStateTransitionException: a is CANCELED/)
  })

  it('forgets a job that is deleted, one that runs only by force', () => {
    create('a')
    jobs.startNext(thing, {})

    expect(() => {
      jobs.deleteJob('a')
    }).toThrow(/InvalidStateTransitionException/)
    jobs.deleteJob('a', { force: true })
    expect(() => status('a')).toThrow(/ResourceNotFoundException/)
    expect(notified).toEqual(['notify notify-next', 'notify notify-next'])
  })

  it('removes the job from one thing', () => {
    create('a', { targets: [thing, 'arn:aws:iot:us-west-2:123456789012:thing/dock-2'] })
    jobs.removeTarget('a', thing)

    expect(status('a')).toBe('REMOVED')
    expect(jobs.describeExecution('dock-2', 'a').status).toBe('QUEUED')
  })

  it('tries failures and timeouts again as often as the job says, and nothing else', () => {
    create('a', { inProgressTimeoutInMinutes: 1, retries: [{ failureType: 'FAILED', numberOfRetries: 1 }] })
    jobs.startNext(thing, {})
    finish('a', 'FAILED')
    expect(jobs.describeExecution(thing, 'a')).toMatchObject({ status: 'QUEUED', executionNumber: 2, versionNumber: 1 })
    expect(status('a', 1)).toBe('FAILED')
    jobs.startNext(thing, {})
    finish('a', 'FAILED')
    expect(status('a')).toBe('FAILED')

    create('b', { retries: [{ failureType: 'ALL', numberOfRetries: 2 }], inProgressTimeoutInMinutes: 1 })
    jobs.startNext(thing, {})
    passes(1)
    jobs.startNext(thing, {})
    finish('b', 'FAILED')
    expect(jobs.startNext(thing, {})).toMatchObject({ jobId: 'b', executionNumber: 3 })
    finish('b', 'REJECTED')
    expect(jobs.startNext(thing, {})).toBeUndefined()
  })

  it('shows changes of the control plane late, when told to', () => {
    jobs.createJob({ jobId: 'a', targets: [thing], document: {} }, { visibleAfterMs: minuteMs })
    expect(jobs.startNext(thing, {})).toBeUndefined()
    passes(1)
    expect(jobs.startNext(thing, {})?.jobId).toBe('a')
    jobs.cancelJob('a', { force: true, visibleAfterMs: minuteMs })
    expect(status('a')).toBe('IN_PROGRESS')
    passes(1)
    expect(status('a')).toBe('CANCELED')

    jobs.createJob({ jobId: 'b', targets: [thing], document: {} }, { visibleAfterMs: minuteMs })
    jobs.cancelJob('b')
    passes(1)
    expect(jobs.startNext(thing, {})).toBeUndefined()
  })

  it('lets reads lag behind, when told to', () => {
    create('a')
    jobs.staleReadsMs = 5000
    jobs.startNext(thing, {})

    expect(jobs.seenExecutions(thing)[0]?.status).toBe('QUEUED')
    nowMs += 5000
    expect(jobs.seenExecutions(thing)[0]?.status).toBe('IN_PROGRESS')
  })

  it.each<[string, Partial<CreateJob>, RegExp]>([
    ['a bad id', { jobId: 'a b' }, /InvalidRequestException.*"a b"/],
    ['an id that is there', { jobId: 'taken' }, /ResourceAlreadyExistsException/],
    ['no target', { targets: [] }, /InvalidRequestException/],
    ['a target that is not there', { targets: ['elsewhere'] }, /ResourceNotFoundException.*"elsewhere"/],
    ['a document that is no JSON', { document: '{' }, /InvalidRequestException/],
    ['a document of more than 32,768 characters', { document: 'x'.repeat(32_769) }, /LimitExceededException/],
    ['too long a timeout', { inProgressTimeoutInMinutes: 10_081 }, /InvalidRequestException/],
    ['too many retries', { retries: [{ failureType: 'ALL', numberOfRetries: 11 }] }, /InvalidRequestException/],
  ])('creates no job with %s', (_what, options, message) => {
    create('taken')

    expect(() => {
      create('a', options)
    }).toThrow(message)
  })
})
