import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { FailureLog } from '../../../agent/lib/failure-log.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const passing = new AgentError('the line is down', { retryable: true })

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function watched(): { log: RecordingLog; failures: FailureLog } {
  const log = new RecordingLog()
  return { log, failures: new FailureLog(log) }
}

test('reports a failure once in full, with its fields', () => {
  const { log, failures } = watched()
  for (let time = 0; time < 50; time += 1) failures.failed('pass failed', passing, { camera: 'dock-3' })
  expect(log.entries).toEqual([{ level: 'warn', message: 'pass failed', fields: { camera: 'dock-3', error: passing } }])
})

test('reports a failure that stays every ten minutes with the count of those since the last report', async () => {
  const { log, failures } = watched()
  for (let minute = 0; minute <= 30; minute += 1) {
    failures.failed('pass failed', passing)
    await vi.advanceTimersByTimeAsync(60_000)
  }
  expect(log.entries.map(({ fields }) => fields['repeated'])).toEqual([undefined, 10, 10, 10])
})

test('reports another failure in full at once, and failures that alternate once each', () => {
  const { log, failures } = watched()
  const full = new AgentError('the disk is full', { retryable: true })
  for (const error of [passing, full, passing, full, passing]) failures.failed('pass failed', error)
  expect(log.entries.map(({ fields }) => fields['error'])).toEqual([passing, full])
})

test('reports a failure in full again when more kinds came in between than it remembers', () => {
  const { log, failures } = watched()
  failures.failed('pass failed', passing)
  for (let kind = 0; kind < 16; kind += 1) failures.failed('pass failed', new AgentError(`kind ${kind}`))
  failures.failed('pass failed', passing)
  expect(log.entries).toHaveLength(18)
})

test('shows what needs a person as an error and what passes as a warning', () => {
  const { log, failures } = watched()
  failures.failed('pass failed', passing)
  failures.failed('pass failed', new AgentError('denied'))
  failures.failed('pass failed', new Error('unforeseen'))
  expect(log.entries.map(({ level }) => level)).toEqual(['warn', 'error', 'warn'])
})

test('says once that a failure is over, and nothing when there was none', () => {
  const { log, failures } = watched()
  failures.recovered('pass succeeded again')
  expect(log.entries).toEqual([])
  failures.failed('pass failed', passing)
  failures.recovered('pass succeeded again')
  failures.recovered('pass succeeded again')
  expect(log.messages('info')).toEqual(['pass succeeded again'])
})

test('reports a failure in full when it comes back after it was over', () => {
  const { log, failures } = watched()
  failures.failed('pass failed', passing)
  failures.recovered('pass succeeded again')
  failures.failed('pass failed', passing)
  expect(log.messages('warn')).toHaveLength(2)
})

test('takes failures that differ in a request id or a time for the same, and in a status code not', () => {
  const { log, failures } = watched()
  const refused = (status: number, id: string): AgentError => new AgentError(`HTTP ${status}, request ${id}`)
  failures.failed('pass failed', refused(403, '1b4e28ba-2fa1-11d2'))
  failures.failed('pass failed', refused(403, '9f8e7d6c-5b4a-3928'))
  failures.failed('pass failed', refused(404, '1b4e28ba-2fa1-11d2'))
  expect(log.entries).toHaveLength(2)
})
