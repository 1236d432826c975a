import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { proveInTime, usualPatience } from '../../../agent/identity/claim-proof.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
})

afterEach(() => {
  vi.useRealTimers()
})

test('a new certificate is tried for five minutes, as AWS IoT may take long to know it, and never in haste', async () => {
  const error = new AgentError('not authorized', { retryable: true })
  const startMs = performance.now()
  const triedAfterSeconds: number[] = []
  const outcome = proveInTime(
    { connect: () => Promise.resolve({ kind: 'refused', error }), getCredentials: () => Promise.resolve() },
    {
      pair: { certificate: 'c', privateKey: 'k' },
      thingName: 'panorama_A1',
      patience: usualPatience,
      signal: new AbortController().signal,
      onTry: () => triedAfterSeconds.push((performance.now() - startMs) / 1_000),
    },
  )
  await vi.advanceTimersByTimeAsync(400_000)
  expect(await outcome).toEqual({ kind: 'refused', error })
  expect(triedAfterSeconds.slice(0, 6)).toEqual([0, 1, 3, 7, 15, 25])
  expect(triedAfterSeconds.at(-1)).toBe(305)
})
