import { describe, expect, it } from 'vitest'

import {
  deadlineOf,
  endExecution,
  isTerminal,
  queueExecution,
  startExecution,
  updateExecution,
  type DeviceStatus,
  type ExecutionStatus,
  type JobExecution,
} from '../../../cloud/iot/jobs/job-execution.ts'

const minuteMs = 60_000
const time = { nowMs: 1_000_000, inProgressTimeoutInMinutes: undefined }
const queued = queueExecution({ jobId: 'job-1', thingName: 'dock-1', executionNumber: 1 }, 0)
const inStatus = (status: ExecutionStatus): JobExecution => ({ ...queued, status, versionNumber: 5 })

describe('updateExecution', () => {
  const from: readonly ExecutionStatus[] = [
    'QUEUED',
    'IN_PROGRESS',
    'SUCCEEDED',
    'FAILED',
    'REJECTED',
    'TIMED_OUT',
    'CANCELED',
    'REMOVED',
  ]
  const to: readonly DeviceStatus[] = ['IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'REJECTED']
  const allowed = new Set([
    'QUEUED-IN_PROGRESS',
    'QUEUED-REJECTED',
    'IN_PROGRESS-IN_PROGRESS',
    'IN_PROGRESS-SUCCEEDED',
    'IN_PROGRESS-FAILED',
    'IN_PROGRESS-REJECTED',
  ])
  const table = from.flatMap((before) =>
    to.map((after) => ({ before, after, verdict: allowed.has(`${before}-${after}`) ? 'takes' : 'refuses' })),
  )

  it.each(table)('$verdict a device that says $after of one that is $before', ({ before, after, verdict }) => {
    const transition = updateExecution(inStatus(before), { status: after }, time)

    expect(transition).toMatchObject(
      verdict === 'takes'
        ? { kind: 'changed', execution: { status: after, versionNumber: 6, lastUpdatedAtMs: time.nowMs } }
        : { kind: 'refused', code: 'InvalidStateTransition' },
    )
  })

  it.each([
    { expectedVersion: 5, kind: 'changed' },
    { expectedVersion: 4, kind: 'refused', code: 'VersionMismatch' },
    { expectedVersion: 6, kind: 'refused', code: 'VersionMismatch' },
  ])('compares the expected version $expectedVersion with version 5', ({ expectedVersion, ...result }) => {
    const update = { status: 'SUCCEEDED', expectedVersion } as const

    expect(updateExecution(inStatus('IN_PROGRESS'), update, time)).toMatchObject(result)
  })

  it('keeps the details where none are given, and replaces them whole where some are', () => {
    const detailed = { ...inStatus('IN_PROGRESS'), statusDetails: { step: 'one', other: 'x' } }

    expect(updateExecution(detailed, { status: 'FAILED' }, time)).toMatchObject({
      execution: { statusDetails: { step: 'one', other: 'x' } },
    })
    expect(updateExecution(detailed, { status: 'IN_PROGRESS', statusDetails: { step: 'two' } }, time)).toMatchObject({
      execution: { statusDetails: { step: 'two' } },
    })
  })

  it.each([
    { stepTimeoutInMinutes: 5, deadline: time.nowMs + 5 * minuteMs },
    { stepTimeoutInMinutes: undefined, deadline: 42 },
    { stepTimeoutInMinutes: -1, deadline: undefined },
  ])('sets, keeps or cancels the step timer: $stepTimeoutInMinutes', ({ stepTimeoutInMinutes, deadline }) => {
    const ticking = { ...inStatus('IN_PROGRESS'), stepDeadlineMs: 42 }

    const transition = updateExecution(ticking, { status: 'IN_PROGRESS', stepTimeoutInMinutes }, time)

    expect(transition.kind === 'changed' && deadlineOf(transition.execution)).toBe(deadline)
  })

  it('stops the timers at the end', () => {
    const ticking = { ...inStatus('IN_PROGRESS'), stepDeadlineMs: 42, inProgressDeadlineMs: 43 }

    const transition = updateExecution(ticking, { status: 'SUCCEEDED' }, time)

    expect(transition.kind === 'changed' && deadlineOf(transition.execution)).toBeUndefined()
  })
})

describe('startExecution', () => {
  it('puts a queued one in progress, with the timers of job and step', () => {
    const started = startExecution(
      queued,
      { statusDetails: { step: 'one' }, stepTimeoutInMinutes: 2 },
      { nowMs: 1000, inProgressTimeoutInMinutes: 10 },
    )

    expect(started).toMatchObject({
      status: 'IN_PROGRESS',
      versionNumber: 2,
      startedAtMs: 1000,
      statusDetails: { step: 'one' },
      stepDeadlineMs: 1000 + 2 * minuteMs,
      inProgressDeadlineMs: 1000 + 10 * minuteMs,
    })
    expect(deadlineOf(started)).toBe(1000 + 2 * minuteMs)
  })

  it('leaves one alone that is in progress', () => {
    const running = inStatus('IN_PROGRESS')

    expect(startExecution(running, { statusDetails: { a: 'b' }, stepTimeoutInMinutes: 1 }, time)).toBe(running)
  })

  it('sets the timer of the job once', () => {
    const started = startExecution(queued, {}, { nowMs: 0, inProgressTimeoutInMinutes: 10 })
    const update = { status: 'IN_PROGRESS', stepTimeoutInMinutes: 60 } as const

    const transition = updateExecution(started, update, { nowMs: 5000, inProgressTimeoutInMinutes: 10 })

    expect(transition.kind === 'changed' && deadlineOf(transition.execution)).toBe(10 * minuteMs)
  })
})

describe('endExecution', () => {
  it('ends it as a new version', () => {
    const ended = endExecution(inStatus('IN_PROGRESS'), 'TIMED_OUT', 7)

    expect(ended).toMatchObject({ status: 'TIMED_OUT', versionNumber: 6, lastUpdatedAtMs: 7 })
    expect(isTerminal(ended)).toBe(true)
  })
})
