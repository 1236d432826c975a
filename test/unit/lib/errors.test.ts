import { expect, test } from 'vitest'

import { AgentError, DeadlineError, errorCode, reportError } from '../../../agent/lib/errors.ts'

test('reports name, message, the messages of the causes, and the hint', () => {
  const cause = new Error('connect failed', { cause: new Error('ECONNREFUSED') })
  expect(reportError(new AgentError('no credentials', { cause, hint: 'check the network' }))).toEqual({
    name: 'AgentError',
    message: 'no credentials: connect failed: ECONNREFUSED',
    hint: 'check the network',
  })
})

test('says nothing twice when a message holds that of its cause', () => {
  const error = new Error('failed: ECONNREFUSED', { cause: new Error('ECONNREFUSED') })
  expect(reportError(error).message).toBe('failed: ECONNREFUSED')
})

test('takes the hint from the nearest error that has one', () => {
  const cause = new AgentError('inner', { hint: 'inner hint' })
  expect(reportError(new Error('outer', { cause })).hint).toBe('inner hint')
  expect(reportError(new AgentError('outer', { cause, hint: 'outer hint' })).hint).toBe('outer hint')
})

test('says that a part of the agent is missing because it was replaced', () => {
  const missing = Object.assign(new Error("Cannot find module 'part.mjs'"), { code: 'ERR_MODULE_NOT_FOUND' })
  expect(reportError(new AgentError('no doctor', { cause: missing })).hint).toMatch(/^restart the agent/)
})

test.each([['text'], [undefined], [null], [42]])('reports %s when it is thrown', (thrown) => {
  expect(reportError(thrown)).toEqual({ name: 'NonError', message: String(thrown) })
})

test('reports an error that is its own cause', () => {
  const error = new Error('round')
  error.cause = error
  expect(reportError(error).message).toBe('round')
})

test('finds the code of a system error through its wrappers', () => {
  const system = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
  expect(errorCode(new Error('outer', { cause: new Error('middle', { cause: system }) }))).toBe('ECONNREFUSED')
  expect(errorCode(new Error('plain'))).toBeUndefined()
  expect(errorCode('ECONNREFUSED')).toBeUndefined()
})

test('is not worth another try unless it says so, but a deadline always is', () => {
  expect(new AgentError('denied').retryable).toBe(false)
  expect(new DeadlineError('the request', 100).retryable).toBe(true)
})
