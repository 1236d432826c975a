import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { createAwsCall, type AwsCallOptions } from '../../../agent/aws/aws-call.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function fixture() {
  const invalidate = vi.fn()
  const onConnectionFailure = vi.fn()
  const call = createAwsCall({ credentials: { currentKeyId: () => 'key-1', invalidate }, onConnectionFailure })
  const controller = new AbortController()
  const options: AwsCallOptions = {
    service: 'logs',
    operation: 'PutLogEvents',
    resource: 'group',
    signal: controller.signal,
    withinMs: 1_000,
  }
  return { call, options, controller, invalidate, onConnectionFailure }
}

function answered(name: string, status = 400): Error {
  return Object.assign(new Error('no'), { name, $metadata: { httpStatusCode: status } })
}

function never(): Promise<never> {
  return Promise.withResolvers<never>().promise
}

test('answers what the request answers', async () => {
  const { call, options, invalidate, onConnectionFailure } = fixture()
  expect(await call(options, () => Promise.resolve('answer'))).toBe('answer')
  expect(invalidate).not.toHaveBeenCalled()
  expect(onConnectionFailure).not.toHaveBeenCalled()
})

test('invalidates expired credentials once and tries once more', async () => {
  const { call, options, invalidate } = fixture()
  const run = vi.fn<() => Promise<string>>().mockResolvedValue('answer')
  run.mockRejectedValueOnce(answered('ExpiredTokenException'))
  expect(await call(options, run)).toBe('answer')
  expect(invalidate.mock.calls).toEqual([['key-1']])
  expect(run).toHaveBeenCalledTimes(2)
})

test('invalidates the credentials that were held when the request began', async () => {
  const invalidate = vi.fn()
  const keyIds = ['key-1', 'key-2']
  const call = createAwsCall({
    credentials: { currentKeyId: () => keyIds.shift(), invalidate },
    onConnectionFailure: () => undefined,
  })
  await expect(call(fixture().options, () => Promise.reject(answered('ExpiredToken')))).rejects.toThrow()
  expect(invalidate.mock.calls).toEqual([['key-1']])
})

test('throws when fresh credentials are refused as well', async () => {
  const { call, options, invalidate } = fixture()
  const run = vi.fn(() => Promise.reject(answered('ExpiredTokenException')))
  await expect(call(options, run)).rejects.toMatchObject({ failure: 'expired-credentials', retryable: true })
  expect(run).toHaveBeenCalledTimes(2)
  expect(invalidate).toHaveBeenCalledOnce()
})

test.each(['AccessDeniedException', 'ThrottlingException', 'InvalidParameterException'])(
  'does not try again after %s',
  async (name) => {
    const { call, options, invalidate, onConnectionFailure } = fixture()
    const run = vi.fn(() => Promise.reject(answered(name)))
    await expect(call(options, run)).rejects.toMatchObject({ name: 'AwsError', code: name })
    expect(run).toHaveBeenCalledOnce()
    expect(invalidate).not.toHaveBeenCalled()
    expect(onConnectionFailure).not.toHaveBeenCalled()
  },
)

test.each(['ECONNRESET', 'ETIMEDOUT', 'CERT_HAS_EXPIRED'])('closes the idle sockets after %s', async (code) => {
  const { call, options, onConnectionFailure } = fixture()
  const failure = Object.assign(new Error('failed'), { code })
  await expect(call(options, () => Promise.reject(failure))).rejects.toMatchObject({ code })
  expect(onConnectionFailure).toHaveBeenCalledOnce()
})

test('bounds each try, aborts it, and closes the idle sockets, which may hang as well', async () => {
  const { call, options, onConnectionFailure } = fixture()
  let seen: AbortSignal | undefined
  const rejected = expect(
    call(options, async (signal) => {
      seen = signal
      return await never()
    }),
  ).rejects.toMatchObject({ message: 'logs:PutLogEvents did not finish within 1000 ms', retryable: true })
  await vi.advanceTimersByTimeAsync(1_000)
  await rejected
  expect(seen?.aborted).toBe(true)
  expect(onConnectionFailure).toHaveBeenCalledOnce()
})

test('gives a try sixty seconds when nothing else is said', async () => {
  const { call, options } = fixture()
  const { service, operation, resource, signal } = options
  const rejected = expect(call({ service, operation, resource, signal }, never)).rejects.toThrow('within 60000 ms')
  await vi.advanceTimersByTimeAsync(60_000)
  await rejected
})

test.each([[new Error('stop')], [new AgentError('the worker is stopping')], [undefined]])(
  'throws the reason of the abort, %s, and blames no connection',
  async (reason) => {
    const { call, options, controller, onConnectionFailure, invalidate } = fixture()
    const caught = call(options, never).catch((error: unknown) => error)
    controller.abort(reason)
    expect(await caught).toBe(controller.signal.reason)
    expect(onConnectionFailure).not.toHaveBeenCalled()
    expect(invalidate).not.toHaveBeenCalled()
  },
)

test('passes on what the credentials threw', async () => {
  const { call, options } = fixture()
  const failure = new AgentError('no credentials', { retryable: true })
  await expect(call(options, () => Promise.reject(failure))).rejects.toBe(failure)
})
