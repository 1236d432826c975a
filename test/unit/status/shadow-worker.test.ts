import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { createLog } from '../../../agent/lib/log.ts'
import { mergePatch, patchBetween } from '../../../agent/lib/merge-patch.ts'
import type { Worker } from '../../../agent/lib/worker.ts'
import { reportedState, type ReportedState } from '../../../agent/status/reported-state.ts'
import { createShadowWorker } from '../../../agent/status/shadow-worker.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import { running } from '../../support/running-worker.ts'
import { logsPart, statusDocument } from '../../support/status-document.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const secondMs = 1_000
const minuteMs = 60_000

/** A shadow worker, the shadow that it reports to, and when it did. */
class Bench {
  readonly worker: Worker
  readonly patches: ReportedState[] = []
  readonly atMs: number[] = []
  status = statusDocument()
  shadow: unknown
  isDown = false
  /** Whether updates arrive, and their answers do not. */
  isUnheard = false
  asked = 0
  lose: () => void = () => undefined
  readonly #startedMs = performance.now()

  constructor(shadow?: ReportedState) {
    this.shadow = shadow
    const { worker } = createShadowWorker({
      shadow: {
        reported: () => {
          this.#connected()
          this.asked += 1
          return Promise.resolve(this.shadow as ReportedState | undefined)
        },
        report: (patch) => {
          this.#connected()
          this.patches.push(patch)
          this.atMs.push(performance.now() - this.#startedMs)
          this.shadow = mergePatch(this.shadow, patch)
          if (this.isUnheard) throw new AgentError('got no answer', { retryable: true })
          return Promise.resolve()
        },
        onMayBeLost: (listener) => {
          this.lose = listener
          return { [Symbol.dispose]: () => undefined }
        },
      },
      status: () => this.status,
      patchBetween,
      log: createLog({ level: 'error', sinks: [] }),
    })
    this.worker = worker
  }

  /** Lets time pass in steps, and the worker look after each. */
  async pass(forMs: number, stepMs = 5 * secondMs): Promise<void> {
    for (let passedMs = 0; passedMs < forMs; passedMs += stepMs) {
      vi.advanceTimersByTime(stepMs)
      await this.settle()
    }
  }

  async settle(): Promise<void> {
    await this.worker.requestPass().catch(() => undefined)
  }

  #connected(): void {
    if (this.isDown) throw new AgentError('there is no connection', { retryable: true })
  }
}

const camera = (state: string): Pick<StatusDocument, 'cameras'> => ({ cameras: [{ name: 'dock-1', state }] })
const lost = (events: number): Pick<StatusDocument, 'logs'> => ({ logs: logsPart({ lost: events }) })

test('reports all at its start, and then nothing while nothing changes', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.settle()
  expect(bench.patches).toEqual([reportedState(bench.status)])
  await bench.pass(60 * minuteMs, minuteMs)
  expect(bench.patches).toHaveLength(1)
})

test('reports nothing at its start where the shadow says it all', async () => {
  const bench = new Bench(reportedState(statusDocument()))
  await using _ = running(bench.worker)
  await bench.pass(minuteMs)
  expect(bench.patches).toEqual([])
})

test('takes out what an earlier run reported and is not there any more', async () => {
  const bench = new Bench({ artifacts: { old: { state: 'ok' } }, forgotten: 1 })
  await using _ = running(bench.worker)
  await bench.settle()
  expect(bench.patches[0]).toMatchObject({ artifacts: { old: null }, forgotten: null })
  expect(bench.shadow).toEqual(reportedState(bench.status))
})

test('reports a change of health at the next look', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.pass(minuteMs)
  expect((bench.worker.health().nextPassMs ?? 0) - performance.now()).toBe(5 * secondMs)
  bench.status = statusDocument(camera('failing'))
  await bench.pass(5 * secondMs)
  expect(bench.atMs.at(-1)).toBe(65 * secondMs)
  expect(bench.patches.at(-1)).toMatchObject({ health: 'failing', workers: { cameras: 'failing' } })
})

test('reports changes of health every 30 s at most', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.settle()
  for (let look = 0; look < 24; look += 1) {
    bench.status = statusDocument(camera(look % 2 === 0 ? 'failing' : 'ok'))
    await bench.pass(5 * secondMs)
  }
  const gaps = bench.atMs.slice(1).map((at, index) => at - (bench.atMs[index] ?? 0))
  expect(bench.atMs.length).toBeGreaterThan(2)
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(30 * secondMs)
})

test('reports what is not health every 15 minutes at most, and then all that changed', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.settle()
  for (let minute = 1; minute <= 45; minute += 1) {
    bench.status = statusDocument(lost(minute))
    await bench.pass(minuteMs)
  }
  expect(bench.atMs).toEqual([0, 15, 30, 45].map((minutes) => minutes * minuteMs))
  expect(bench.shadow).toEqual(reportedState(bench.status))
  expect(bench.patches.at(-1)).toEqual({ logs: { lost: 45 } })
})

test('nulls what vanished', async () => {
  const bench = new Bench()
  bench.status = statusDocument(camera('failing'))
  await using _ = running(bench.worker)
  await bench.settle()
  bench.status = statusDocument(camera('ok'))
  await bench.pass(minuteMs)
  expect(bench.patches.at(-1)).toMatchObject({ cameras: { notWell: 0, details: null } })
  expect(bench.shadow).toEqual(reportedState(bench.status))
})

test('keeps each update within what a shadow takes, also where everything has another name', async () => {
  const named = (prefix: string): StatusDocument =>
    statusDocument({
      cameras: Array.from({ length: 40 }, (_, index) => ({
        name: `${prefix}-${index}`.padEnd(64, 'x'),
        state: 'failing',
        since: '2027-01-01T00:30:00.000Z',
        versionId: '7c741511-283a',
      })),
    })
  const bench = new Bench()
  bench.status = named('old')
  await using _ = running(bench.worker)
  await bench.settle()
  bench.status = named('new')
  await bench.pass(minuteMs)
  expect(bench.patches).toHaveLength(3)
  for (const patch of bench.patches) expect(Buffer.byteLength(JSON.stringify(patch))).toBeLessThan(7_500)
  expect(bench.shadow).toEqual(reportedState(bench.status))
})

test('makes up for all that a time without a connection kept it from', async () => {
  const bench = new Bench()
  bench.isDown = true
  await using _ = running(bench.worker)
  await bench.pass(minuteMs)
  expect(bench.worker.health().state).toBe('failing')
  bench.isDown = false
  await bench.settle()
  bench.isDown = true
  bench.status = statusDocument({ ...camera('failing'), ...lost(3) })
  await bench.pass(minuteMs)
  bench.isDown = false
  await bench.settle()
  expect(bench.shadow).toEqual(reportedState(bench.status))
  expect(bench.asked).toBe(2) // an update that failed may have arrived
})

test('keeps nothing in the shadow of an update that arrived without an answer, and was true no more at the next', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.settle()
  bench.isUnheard = true
  bench.status = statusDocument(camera('failing'))
  await bench.pass(minuteMs)
  expect(bench.shadow).toMatchObject({ cameras: { notWell: 1 } })
  bench.isUnheard = false
  bench.status = statusDocument(lost(1))
  await bench.pass(minuteMs)
  expect(bench.shadow).toEqual(reportedState(bench.status))
})

test('sends what it had taken out where an update in two was cut off in between', async () => {
  const bench = new Bench()
  const many = (prefix: string): StatusDocument['cameras'] =>
    Array.from({ length: 40 }, (_, index) => ({
      name: `${prefix}-${index}`.padEnd(64, 'x'),
      state: 'failing',
      since: '2027-01-01T00:30:00.000Z',
      versionId: '7c741511-283a',
    }))
  bench.status = statusDocument({ cameras: many('old') })
  await using _ = running(bench.worker)
  await bench.settle()
  bench.isUnheard = true
  bench.status = statusDocument({ cameras: many('new') })
  await bench.pass(35 * secondMs, 35 * secondMs)
  expect(bench.shadow).toEqual({})
  bench.isUnheard = false
  bench.status = statusDocument({ cameras: many('old').slice(1) })
  await bench.pass(minuteMs)
  expect(bench.shadow).toEqual(reportedState(bench.status))
})

test('fills a shadow again that was deleted, at most every 5 s, and asks once for each time that it may have been', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.pass(minuteMs)
  for (let time = 0; time < 10; time += 1) {
    bench.shadow = undefined
    bench.lose()
    await bench.settle()
    if (time === 0) expect(bench.shadow).toEqual(reportedState(bench.status))
  }
  expect(bench.patches).toHaveLength(2)
  await bench.pass(5 * secondMs)
  expect(bench.shadow).toEqual(reportedState(bench.status))
  const before = bench.asked
  bench.lose() // it was not
  await bench.pass(60 * minuteMs, minuteMs)
  expect([bench.asked, bench.patches.length]).toEqual([before + 1, 3])
})

test('reports nothing when the start of the agent is only worked out a little differently, and a new start', async () => {
  const bench = new Bench(reportedState(statusDocument()))
  await using _ = running(bench.worker)
  const startedAt = (instant: string): void => {
    bench.status = statusDocument({ agent: { ...statusDocument().agent, startedAt: instant } })
  }
  startedAt('2026-12-31T23:59:59.999Z')
  await bench.pass(60 * minuteMs)
  startedAt('2027-01-01T00:00:00.001Z')
  await bench.pass(60 * minuteMs)
  expect(bench.patches).toEqual([])
  startedAt('2027-01-01T00:00:05.000Z')
  await bench.pass(20 * minuteMs)
  expect(bench.patches).toEqual([{ agent: { startedAt: '2027-01-01T00:00:05.000Z' } }])
})
