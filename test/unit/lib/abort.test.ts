import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { linkedAbort, withDeadline } from '../../../agent/lib/abort.ts'
import { DeadlineError } from '../../../agent/lib/errors.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function never(): Promise<never> {
  return Promise.withResolvers<never>().promise
}

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length
}

test('answers what the work answers, and lets go of the signal and the timer', async () => {
  const { signal } = new AbortController()
  const answer = await withDeadline({ signal, withinMs: 1000, what: 'the work' }, () => Promise.resolve(42))
  expect(answer).toBe(42)
  expect(listeners(signal)).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('throws what the work throws, and lets go of the signal and the timer', async () => {
  const { signal } = new AbortController()
  const failure = new Error('no')
  await expect(withDeadline({ signal, withinMs: 1000, what: 'the work' }, () => Promise.reject(failure))).rejects.toBe(
    failure,
  )
  expect(listeners(signal)).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('throws a retryable DeadlineError that names the work, even when the work ignores its signal', async () => {
  const { signal } = new AbortController()
  const rejected = expect(withDeadline({ signal, withinMs: 1000, what: 'the work' }, never)).rejects.toMatchObject({
    name: 'DeadlineError',
    message: 'the work did not finish within 1000 ms',
    retryable: true,
  })
  await vi.advanceTimersByTimeAsync(1000)
  await rejected
  expect(listeners(signal)).toBe(0)
})

test('throws the reason of the abort, even when the work ignores its signal', async () => {
  const controller = new AbortController()
  const reason = new Error('stop')
  const rejected = expect(
    withDeadline({ signal: controller.signal, withinMs: 1000, what: 'the work' }, never),
  ).rejects.toBe(reason)
  controller.abort(reason)
  await rejected
  expect(vi.getTimerCount()).toBe(0)
})

test('throws the DeadlineError also when the work rejects by itself at the moment of the abort', async () => {
  const { signal } = new AbortController()
  const rejected = expect(
    withDeadline({ signal, withinMs: 1000, what: 'the work' }, (inner) => {
      const { promise, reject } = Promise.withResolvers<never>()
      inner.addEventListener('abort', () => {
        reject(new Error('request aborted'))
      })
      return promise
    }),
  ).rejects.toBeInstanceOf(DeadlineError)
  await vi.advanceTimersByTimeAsync(1000)
  await rejected
})

test('does not start the work when the signal has aborted before', async () => {
  const work = vi.fn(never)
  const reason = new Error('stopped before')
  const deadline = { signal: AbortSignal.abort(reason), withinMs: 1000, what: 'the work' }
  await expect(withDeadline(deadline, work)).rejects.toBe(reason)
  expect(work).not.toHaveBeenCalled()
})

test('aborts the work with the DeadlineError when the time is up', async () => {
  const { signal } = new AbortController()
  let seen: AbortSignal | undefined
  const rejected = expect(
    withDeadline({ signal, withinMs: 5, what: 'the work' }, async (inner) => {
      seen = inner
      return await never()
    }),
  ).rejects.toThrow()
  await vi.advanceTimersByTimeAsync(5)
  await rejected
  expect(seen?.reason).toBeInstanceOf(DeadlineError)
})

test('a linked controller aborts with the reason of whichever signal aborts first', () => {
  const first = new AbortController()
  const second = new AbortController()
  using linked = linkedAbort(first.signal, second.signal)
  expect(linked.controller.signal.aborted).toBe(false)
  second.abort('second')
  first.abort('first')
  expect(linked.controller.signal.reason).toBe('second')
})

test('a linked controller is aborted from the start when a signal is', () => {
  using linked = linkedAbort(new AbortController().signal, AbortSignal.abort('before'))
  expect(linked.controller.signal.reason).toBe('before')
})

test('a linked controller leaves its signals alone when it aborts, and lets go of them when disposed', () => {
  const outer = new AbortController()
  {
    using linked = linkedAbort(outer.signal)
    expect(listeners(outer.signal)).toBe(1)
    linked.controller.abort()
  }
  expect(outer.signal.aborted).toBe(false)
  expect(listeners(outer.signal)).toBe(0)
})
