import { describe, expect, it } from 'vitest'

import { TrafficAdmission } from '../../../agent/network/traffic-admission.ts'
import { TrafficPausedError, type TrafficStatus } from '../../../agent/network/traffic-meter.ts'

const never = new AbortController().signal

function admissionAt(used: number, limit: number | undefined) {
  const month = { used }
  const isPaused = (): boolean => limit !== undefined && month.used >= limit
  const status = (): TrafficStatus => ({
    month: '2026-11',
    bytes: month.used,
    maxBytes: limit,
    state: isPaused() ? 'paused' : 'ok',
    pausedUntilMs: isPaused() ? 0 : undefined,
  })
  const check = (): void => {
    if (isPaused()) throw new TrafficPausedError(0)
  }
  return { month, admission: new TrafficAdmission({ check, status }) }
}

/** Whether a promise is settled once everything that is due has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const nothing = Symbol('nothing')
  await new Promise((resolve) => setImmediate(resolve))
  return (await Promise.race([promise.catch(() => undefined), Promise.resolve(nothing)])) !== nothing
}

describe('at the limit of the month', () => {
  it.each([undefined, 300])('what fits a limit of %s goes side by side', async (limit) => {
    const { admission } = admissionAt(0, limit)
    for (let count = 0; count < 3; count += 1) await admission.admit(100, never)
  })

  it('what may not fit goes one after the other, and nothing once the limit is reached', async () => {
    const { admission, month } = admissionAt(150, 300)
    const first = await admission.admit(100, never)
    const [second, third] = [admission.admit(100, never), admission.admit(100, never)]
    expect(await isSettled(second)).toBe(false)
    month.used += 90
    first[Symbol.dispose]()
    const held = await second
    expect(await isSettled(third)).toBe(false)
    month.used += 90
    held[Symbol.dispose]()
    await expect(third).rejects.toThrow(TrafficPausedError)
  })

  it('one goes that alone is more than what is left', async () => {
    const { admission } = admissionAt(290, 300)
    await admission.admit(100, never)
  })

  it('who waits stops waiting when told to', async () => {
    const { admission } = admissionAt(290, 300)
    await admission.admit(100, never)
    const stop = new AbortController()
    const waits = admission.admit(100, stop.signal)
    stop.abort(new Error('enough'))
    await expect(waits).rejects.toThrow('enough')
  })
})
