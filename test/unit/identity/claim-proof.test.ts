import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { proveInTime, usualPatience, type ProofOutcome } from '../../../agent/identity/claim-proof.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
})

afterEach(() => {
  vi.useRealTimers()
})

test('a new certificate is tried for five minutes, as AWS IoT may take long to know it, and never in haste', async () => {
  const { outcome, atSeconds } = await provenLate(400_000)
  expect(outcome).toEqual({ kind: 'refused', error: late })
  const waits = atSeconds.slice(1).map((at, index) => at - (atSeconds[index] ?? 0))
  for (const [tries, wait] of waits.entries()) {
    expect(wait).toBeGreaterThanOrEqual(0.1)
    expect(wait).toBeLessThanOrEqual(Math.min(2 ** tries, 10))
  }
  expect(Math.max(...waits)).toBeGreaterThan(5)
  expect(atSeconds.at(-1)).toBeGreaterThanOrEqual(300)
  expect(atSeconds.at(-1)).toBeLessThanOrEqual(310)
})

test('those that failed at one moment, as in an outage, do not come back in step', async () => {
  const floor = await Promise.all(Array.from({ length: 50 }, () => provenLate(400_000)))
  const thirdTries = floor.map(({ atSeconds }) => atSeconds[2] ?? 0).toSorted((one, other) => one - other)
  expect((thirdTries.at(-5) ?? 0) - (thirdTries[5] ?? 0)).toBeGreaterThan(0.5)
})

const late = new AgentError('not authorized', { retryable: true })

/** What comes of a certificate that is never taken, and when it was tried. */
async function provenLate(
  forMs: number,
): Promise<{ readonly outcome: ProofOutcome; readonly atSeconds: readonly number[] }> {
  const startMs = performance.now()
  const atSeconds: number[] = []
  const outcome = proveInTime(
    { connect: () => Promise.resolve({ kind: 'refused', error: late }), getCredentials: () => Promise.resolve() },
    {
      pair: { certificate: 'c', privateKey: 'k' },
      thingName: 'panorama_A1',
      patience: usualPatience,
      signal: new AbortController().signal,
      onTry: () => atSeconds.push((performance.now() - startMs) / 1_000),
    },
  )
  await vi.advanceTimersByTimeAsync(forMs)
  return { outcome: await outcome, atSeconds }
}
