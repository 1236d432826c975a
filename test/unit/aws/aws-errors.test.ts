import { describe, expect, test } from 'vitest'

import { AwsError, translateAwsError, type AwsFailure } from '../../../agent/aws/aws-errors.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const request = { service: 's3', operation: 'GetObject', resource: 'arn:x/key' } as const

/** An error as the SDK throws it for an answer of a service. */
function answered(name: string, status: number, message = 'no'): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } })
}

/** An error as Node throws it below the SDK. */
function system(code: string): Error {
  return Object.assign(new Error('failed'), { code })
}

function translated(error: unknown): AwsError {
  const result = translateAwsError(error, request)
  if (result instanceof AwsError) return result
  throw new Error('expected an AwsError')
}

describe('expired credentials', () => {
  const codes = [
    'ExpiredToken',
    'ExpiredTokenException',
    'InvalidAccessKeyId',
    'InvalidClientTokenId',
    'InvalidToken',
    'TokenRefreshRequired',
    'UnrecognizedClientException',
  ]

  test.each(codes)('are seen in %s, whatever the status', (code) => {
    for (const status of [400, 401, 403, 500]) {
      expect(translated(answered(code, status))).toMatchObject({
        failure: 'expired-credentials',
        retryable: true,
        status,
      })
    }
  })
})

test.each<[string, number, AwsFailure, boolean]>([
  ['AccessDenied', 403, 'access-denied', false],
  ['AccessDeniedException', 400, 'access-denied', false],
  ['NoSuchKey', 404, 'not-found', false],
  ['NoSuchBucket', 404, 'not-found', false],
  ['NoSuchAccessPoint', 404, 'not-found', false],
  ['NotFound', 404, 'not-found', false],
  ['ResourceNotFoundException', 400, 'not-found', false],
  ['PreconditionFailed', 412, 'precondition', true],
  ['ThrottlingException', 400, 'throttled', true],
  ['SlowDown', 503, 'throttled', true],
  ['TooManyRequestsException', 400, 'throttled', true],
  ['RequestTimeTooSkewed', 403, 'server', true],
  ['ServiceUnavailableException', 503, 'server', true],
  ['InternalError', 500, 'server', true],
  ['InvalidParameterException', 400, 'invalid', false],
  ['Unheard', 403, 'access-denied', false],
  ['Unheard', 404, 'not-found', false],
  ['Unheard', 412, 'precondition', true],
  ['Unheard', 429, 'throttled', true],
  ['PermanentRedirect', 301, 'unknown', true],
])('%s with status %d means %s', (code, status, failure, retryable) => {
  expect(translated(answered(code, status))).toMatchObject({ failure, retryable, code, status })
})

test.each<[string, AwsFailure]>([
  ['ECONNREFUSED', 'network'],
  ['ECONNRESET', 'network'],
  ['ENOTFOUND', 'network'],
  ['EPIPE', 'network'],
  ['CERT_HAS_EXPIRED', 'certificate'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'certificate'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'certificate'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'certificate'],
])('%s from below the SDK means %s', (code, failure) => {
  expect(translated(system(code))).toMatchObject({ failure, retryable: true, code, status: undefined })
})

test('finds the code of the connection through the causes', () => {
  const error = new Error('request failed', { cause: system('ECONNREFUSED') })
  expect(translated(error)).toMatchObject({ failure: 'network', code: 'ECONNREFUSED' })
})

test('counts a time-out of the SDK as a failure of the network', () => {
  expect(translated(Object.assign(new Error('too slow'), { name: 'TimeoutError' }))).toMatchObject({
    failure: 'network',
  })
})

test('does not blame the network for a fault of the program', () => {
  expect(translated(new TypeError('x is not a function'))).toMatchObject({ failure: 'unknown', hint: undefined })
})

test('says what failed, on what, and why', () => {
  const error = translated(answered('NoSuchKey', 404, 'The specified key does not exist.'))
  expect(error.message).toBe('s3:GetObject on arn:x/key failed with NoSuchKey: The specified key does not exist.')
  expect(translated(answered('SlowDown', 503, 'SlowDown')).message).toBe(
    's3:GetObject on arn:x/key failed with SlowDown',
  )
})

test('tells what to allow when access is denied, in the words of the caller if it has some', () => {
  expect(translated(answered('AccessDenied', 403)).hint).toContain('allow s3:GetObject on arn:x/key')
  const hinted = translateAwsError(answered('AccessDenied', 403), { ...request, hint: 'allow kms:Decrypt' })
  expect(hinted).toMatchObject({ hint: 'allow kms:Decrypt' })
})

test('keeps nothing of the request that the SDK ties to its error', () => {
  const error = Object.assign(answered('AccessDenied', 403), { $response: { headers: { authorization: 'SIGNED' } } })
  const result = translated(error)
  expect(result.cause).toBeUndefined()
  expect(JSON.stringify(result)).not.toContain('SIGNED')
})

test('lets errors of ours, aborts and what is no error pass unchanged', () => {
  const abort: unknown = AbortSignal.abort().reason
  for (const error of [new AgentError('ours'), abort, 'text', undefined]) {
    expect(translateAwsError(error, request)).toBe(error)
  }
})

test.each([
  ['7', 7_000],
  ['Tue, 24 Nov 2026 10:00:30 GMT', 30_000],
  ['soon', undefined],
])('tells how long the service asks to be left alone: %s', (retryAfter, retryAfterMs) => {
  const headers = { date: 'Tue, 24 Nov 2026 10:00:00 GMT', 'retry-after': retryAfter }
  const error = Object.assign(answered('SlowDown', 503), { $response: { headers } })
  expect(translated(error)).toMatchObject({ isOverloaded: true, retryAfterMs })
})

test('asks nobody to wait for what only this request ran into', () => {
  expect(translated(answered('NoSuchKey', 404))).toMatchObject({ isOverloaded: false, retryAfterMs: undefined })
})

test('shows nothing of an answer that is no JSON, which may be a piece of a secret', () => {
  const message = `Unexpected token 'r', "rd":"marked-password"}" is not valid JSON` // V8's words
  const error = answered('SyntaxError', 200, message)
  expect(translated(error)).toMatchObject({ failure: 'unknown', retryable: true, text: 'the answer cannot be read' })
  expect(translated(error).message).not.toContain('marked')
})
