import { beforeEach, describe, expect, it } from 'vitest'

import { Jobs } from '../../../cloud/iot/jobs/jobs.ts'
import { createJobsTopics } from '../../../cloud/iot/jobs/jobs-topics.ts'
import type { TopicAnswer, TopicService } from '../../../cloud/iot/topic-service.ts'

const thingName = 'dock-1'
const nowMs = 1_700_000_000_400

describe('requests to AWS IoT Jobs', () => {
  let jobs: Jobs
  let service: TopicService

  beforeEach(() => {
    const thingExists = (name: string): boolean => name === thingName
    jobs = new Jobs({ now: () => nowMs, thingExists, onChange: () => undefined })
    service = createJobsTopics({ jobs, now: () => nowMs, thingExists })
    jobs.createJob({ jobId: 'job-1', targets: [thingName], document: '{"operation":"reboot"}' })
  })

  const ask = (request: string, body: unknown = {}, thing = thingName): TopicAnswer =>
    service.answer(
      `$aws/things/${thing}/jobs/${request}`,
      Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    )
  const summary = {
    jobId: 'job-1',
    queuedAt: 1_700_000_000,
    lastUpdatedAt: 1_700_000_000,
    versionNumber: 1,
    executionNumber: 1,
  }

  it('answers get with what is pending', () => {
    expect(ask('get', { clientToken: 'abc' })).toEqual({
      accepted: true,
      status: 200,
      body: { inProgressJobs: [], queuedJobs: [summary], timestamp: 1_700_000_000, clientToken: 'abc' },
    })
  })

  it('answers start-next with the execution, or without one when nothing is left', () => {
    expect(ask('start-next', { stepTimeoutInMinutes: 1 }).body).toEqual({
      execution: {
        ...summary,
        thingName,
        status: 'IN_PROGRESS',
        startedAt: 1_700_000_000,
        versionNumber: 2,
        approximateSecondsBeforeTimedOut: 60,
        jobDocument: { operation: 'reboot' },
      },
      timestamp: 1_700_000_000,
    })
    ask('job-1/update', { status: 'SUCCEEDED' })
    expect(ask('start-next').body).toEqual({ timestamp: 1_700_000_000 })
    expect(ask('$next/get').body).toEqual({ timestamp: 1_700_000_000 })
  })

  it.each([
    ['$next/get', {}, { jobDocument: { operation: 'reboot' } }],
    ['job-1/get', { executionNumber: 1 }, { jobDocument: { operation: 'reboot' } }],
  ])('answers %s with the document', (request, body, execution) => {
    expect(ask(request, body)).toMatchObject({ accepted: true, body: { execution } })
  })

  it('leaves the document out where it is not wanted', () => {
    expect(ask('job-1/get', { includeJobDocument: false }).body['execution']).not.toHaveProperty('jobDocument')
  })

  it('answers update with state and document where they are wanted', () => {
    const update = { status: 'IN_PROGRESS', statusDetails: { step: 'one' }, expectedVersion: '1' }

    expect(ask('job-1/update', { ...update, includeJobExecutionState: true, includeJobDocument: true }).body).toEqual({
      executionState: { status: 'IN_PROGRESS', statusDetails: { step: 'one' }, versionNumber: 2 },
      jobDocument: { operation: 'reboot' },
      timestamp: 1_700_000_000,
    })
    expect(ask('job-1/update', { status: 'SUCCEEDED', clientToken: 'abc' }).body).toEqual({
      timestamp: 1_700_000_000,
      clientToken: 'abc',
    })
  })

  it.each<[string, string, unknown, string]>([
    ['no JSON', 'start-next', '{', 'InvalidJson'],
    ['no bytes', 'get', '', 'InvalidJson'],
    ['another JSON than an object', 'get', '[]', 'InvalidRequest'],
    ['no status', 'job-1/update', {}, 'InvalidRequest'],
    ['a status of the service', 'job-1/update', { status: 'TIMED_OUT' }, 'InvalidRequest'],
    ['a step of no minutes', 'start-next', { stepTimeoutInMinutes: 0 }, 'InvalidRequest'],
    ['a step of more than a week', 'start-next', { stepTimeoutInMinutes: 10_081 }, 'InvalidRequest'],
    ['a canceled step at the start', 'start-next', { stepTimeoutInMinutes: -1 }, 'InvalidRequest'],
    ['an empty detail', 'start-next', { statusDetails: { a: '' } }, 'InvalidRequest'],
    ['a line break in a detail', 'start-next', { statusDetails: { a: 'b\nc' } }, 'InvalidRequest'],
    ['a detail of 1,025 characters', 'start-next', { statusDetails: { a: 'b'.repeat(1025) } }, 'InvalidRequest'],
    [
      'a detail of 513 characters that count twice',
      'start-next',
      { statusDetails: { a: '📷'.repeat(513) } },
      'InvalidRequest',
    ],
    ['a detail that is no text', 'start-next', { statusDetails: { a: 1 } }, 'InvalidRequest'],
    ['a bad name of a detail', 'start-next', { statusDetails: { 'a b': 'c' } }, 'InvalidRequest'],
    ['a bad id of a job', 'job.1/update', { status: 'IN_PROGRESS' }, 'InvalidRequest'],
    ['the next one in an update', '$next/update', { status: 'IN_PROGRESS' }, 'InvalidRequest'],
    ['a job that is not there', 'job-2/get', {}, 'ResourceNotFound'],
    [
      'an execution that is not there',
      'job-1/update',
      { status: 'IN_PROGRESS', executionNumber: 2 },
      'ResourceNotFound',
    ],
  ])('rejects %s', (_what, request, body, code) => {
    expect(ask(request, body)).toMatchObject({ accepted: false, body: { code, timestamp: 1_700_000_000 } })
  })

  it('takes ten details of 1,024 characters, and not eleven', () => {
    const details = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_pair, index) => [`key-${index}`, '📷'.repeat(512)]))

    expect(ask('start-next', { statusDetails: details(11) }).accepted).toBe(false)
    expect(ask('start-next', { statusDetails: details(10) }).accepted).toBe(true)
  })

  it('rejects a thing that is not there', () => {
    expect(ask('get', {}, 'dock-2')).toMatchObject({ accepted: false, body: { code: 'ResourceNotFound' } })
  })

  it('tells the state with a version that does not match and a transition that is not allowed', () => {
    const executionState = { status: 'QUEUED', statusDetails: {}, versionNumber: 1 }

    expect(ask('job-1/update', { status: 'IN_PROGRESS', expectedVersion: 3, clientToken: 'abc' })).toMatchObject({
      status: 409,
      body: { code: 'VersionMismatch', executionState, clientToken: 'abc' },
    })
    expect(ask('job-1/update', { status: 'SUCCEEDED' })).toMatchObject({
      body: { code: 'InvalidStateTransition', executionState },
    })
  })

  it('describes nothing that is at its end', () => {
    ask('job-1/update', { status: 'REJECTED' })

    expect(ask('job-1/get')).toMatchObject({ accepted: false, body: { code: 'TerminalStateReached' } })
  })

  it('gives the token back with a refusal that is none of its own', () => {
    const payload = Buffer.from('{"clientToken":"abc"}')

    expect(service.refuse(payload, { status: 429, code: 'RequestThrottled', message: 'Rate exceeded' })).toEqual({
      accepted: false,
      status: 429,
      body: { code: 'RequestThrottled', message: 'Rate exceeded', timestamp: 1_700_000_000, clientToken: 'abc' },
    })
  })
})
