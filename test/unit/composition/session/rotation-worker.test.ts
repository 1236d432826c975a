import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import type { RotationRecord } from '../../../../agent/identity/rotation-record.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { createRotationWorker } from '../../../../agent/composition/session/rotation-worker.ts'
import { RecordingLog } from '../../../support/recording-log.ts'
import { running } from '../../../support/running-worker.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const nowMs = Date.parse('2026-11-28T00:00:00.000Z')

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const firstLookMs = 900_000

interface Certificate {
  readonly ageDays: number
  readonly leftDays: number
  readonly isUndisturbed?: () => boolean
}

/** Of an appliance that rotates 30 days before the end; what `fault` is, each rotation ends with. */
function appliance(
  { ageDays, leftDays, isUndisturbed = () => true }: Certificate,
  record?: RotationRecord,
  fault?: AgentError,
) {
  const begun: { readonly id: string; readonly hours: number }[] = []
  const patience: number[] = []
  const givenUp: string[] = []
  const log = new RecordingLog()
  const startMs = performance.now()
  const known = { record }
  const worker = createRotationWorker({
    rotation: known,
    actions: {
      begin: async ({ id, confirmSeconds }) => {
        await Promise.resolve()
        patience.push(confirmSeconds)
        begun.push({ id, hours: Math.round((performance.now() - startMs) / hourMs) })
        if (fault !== undefined) throw fault
      },
      settled: () => Promise.reject(new Error('nobody waits for it')),
      giveUp: async (id) => {
        await Promise.resolve()
        givenUp.push(id)
      },
      forget: () => Promise.reject(new Error('nobody asks for it')),
    },
    rotateBeforeDays: 30,
    isUndisturbed,
    validity: () => Promise.resolve({ notBeforeMs: nowMs - ageDays * dayMs, notAfterMs: nowMs + leftDays * dayMs }),
    cloudNow: () => nowMs + performance.now() - startMs,
    log,
  })
  return { worker, begun, patience, givenUp, log, known }
}

const id = 'a'.repeat(64)
const at = (agoMs: number): string => new Date(nowMs - agoMs).toISOString()
const base = { version: 1, id: 'automatic 1', previousCertificateId: id, confirmSeconds: 300 } as const
const failed = (agoMs: number, orphanCertificateId?: string): RotationRecord => ({
  ...base,
  at: at(agoMs),
  state: 'failed',
  reason: 'not proven',
  orphanCertificateId,
})

test('rotates a certificate that ends soon, and none that does not', async () => {
  const soon = appliance({ ageDays: 300, leftDays: 29 })
  const late = appliance({ ageDays: 300, leftDays: 40 })
  await using _ = running(soon.worker)
  await using __ = running(late.worker)
  await vi.advanceTimersByTimeAsync(firstLookMs)
  expect(soon.begun).toHaveLength(1)
  expect(late.begun).toHaveLength(0)
})

test('gives the new certificate five minutes to prove itself', async () => {
  const { worker, patience } = appliance({ ageDays: 300, leftDays: 29 })
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(firstLookMs)
  expect(patience).toEqual([300])
})

test.each([
  [0, [0, 6, 12, 18, 24]],
  [1, [0, 18]],
])('looks again half a day later, by half of that more or less, at random (%s)', async (random, hours) => {
  vi.mocked(Math.random).mockReturnValue(random)
  const { worker, begun } = appliance({ ageDays: 300, leftDays: 29 }, undefined, new AgentError('no'))
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(dayMs + firstLookMs)
  expect(begun.map((each) => each.hours)).toEqual(hours)
})

test('goes on with what it has begun', async () => {
  const { worker, begun } = appliance({ ageDays: 1, leftDays: 400 }, { ...base, at: at(0), state: 'under-way' })
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(1)
  expect(begun).toEqual([{ id: 'automatic 1', hours: 0 }])
})

test('leaves a young certificate alone whose end is near from its beginning, or it would rotate for ever', async () => {
  const young = appliance({ ageDays: 1, leftDays: 20 })
  const old = appliance({ ageDays: 11, leftDays: 10 })
  await using _ = running(young.worker)
  await using __ = running(old.worker)
  await vi.advanceTimersByTimeAsync(firstLookMs)
  expect(young.begun).toHaveLength(0)
  expect(old.begun).toHaveLength(1)
})

test.each([true, false])(
  'tries again half a day after a failure, which a person may mend or not: %s',
  async (mends) => {
    const fault = new AgentError('the template has given it to another thing', { retryable: !mends })
    const { worker, begun, givenUp, log } = appliance({ ageDays: 300, leftDays: 29 }, undefined, fault)
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(2 * dayMs + firstLookMs)
    expect(begun.map(({ hours }) => hours)).toEqual([0, 12, 24, 36, 48])
    expect(givenUp).toHaveLength(5)
    expect(worker.health().state).toBe('failing')
    expect(log.entries.map(({ message }) => message)).toContain('the certificate is not rotated')
  },
)

test('begins no other in the session that follows a failure, but at the next look', async () => {
  const { worker, begun } = appliance({ ageDays: 300, leftDays: 29 }, failed(hourMs))
  await using _ = running(worker)
  await vi.advanceTimersByTimeAsync(dayMs + firstLookMs)
  expect(begun.map(({ hours }) => hours)).toEqual([12, 24])
})

test('waits for a week after a failure that left a certificate behind, or less where the time is short', async () => {
  const long = appliance({ ageDays: 300, leftDays: 29 }, failed(0, id))
  const short = appliance({ ageDays: 300, leftDays: 8 }, failed(0, id))
  await using _ = running(long.worker)
  await using __ = running(short.worker)
  await vi.advanceTimersByTimeAsync(3 * dayMs + firstLookMs)
  expect(long.begun).toHaveLength(0)
  expect(short.begun.map(({ hours }) => hours)[0]).toBe(24)
})
