import { tmpdir } from 'node:os'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as z from 'zod'

import type { Config } from '../../../agent/config/config-schema.ts'
import { createLog } from '../../../agent/lib/log.ts'
import type { Worker } from '../../../agent/lib/worker.ts'
import { createMetricsWorker } from '../../../agent/status/metrics-worker.ts'
import { running } from '../../support/running-worker.ts'
import { statusDocument } from '../../support/status-document.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const minuteMs = 60_000
const recordSchema = z.looseObject({ _aws: z.object({ Timestamp: z.int(), CloudWatchMetrics: z.unknown() }) })

/** A metrics worker whose cloud clock is the system's plus `offsetMs`, and what it offered. */
class Bench {
  readonly records: z.infer<typeof recordSchema>[] = []
  readonly offeredAtMs: number[] = []
  readonly worker: Worker
  offsetMs = 0
  isKnown = true
  readonly startedAtMs = Date.now()

  constructor(config: Partial<Config['metrics']> = {}, stateFolder: string = tmpdir()) {
    this.worker = createMetricsWorker({
      config: { enabled: true, intervalSeconds: 60, publish: [], ...config },
      status: () => statusDocument(),
      generation: 1,
      stateFolder,
      clock: {
        timeOf: (atMs) => Date.now() + this.offsetMs - (performance.now() - atMs),
        lastKnownMs: () => (this.isKnown ? Date.now() : undefined),
      },
      offer: (record) => {
        this.records.push(recordSchema.parse(JSON.parse(record)))
        this.offeredAtMs.push(Date.now() - this.startedAtMs)
      },
      log: createLog({ level: 'error', sinks: [] }),
    })
  }

  /** Of the records, since the start. */
  get timesMs(): readonly number[] {
    return this.records.map(({ _aws }) => _aws.Timestamp - this.startedAtMs)
  }

  /** Lets time pass in steps, and the worker do what is due after each. */
  async pass(forMs: number, stepMs = 500): Promise<void> {
    for (let passedMs = 0; passedMs < forMs; passedMs += stepMs) {
      vi.advanceTimersByTime(stepMs)
      await this.settle()
    }
  }

  async settle(): Promise<void> {
    await this.worker.requestPass()
  }
}

test('writes a record at the start and then every minute to the tick, however late a pass is', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.settle()
  expect(bench.timesMs).toEqual([0])

  await bench.pass(5 * minuteMs, 7_000)

  expect(bench.offeredAtMs).toEqual([0, 63_000, 126_000, 182_000, 245_000, 301_000])
  expect(bench.timesMs).toEqual([0, 1, 2, 3, 4, 5].map((minute) => minute * minuteMs))
})

test('makes up for no tick that a stop of the process took', async () => {
  const bench = new Bench()
  await using _ = running(bench.worker)
  await bench.settle()

  await bench.pass(10.5 * minuteMs, 10.5 * minuteMs)
  await bench.pass(minuteMs)

  expect(bench.timesMs).toEqual([0, 10 * minuteMs, 11 * minuteMs])
})

test('keeps ticks until a server has told the time, the newest ten, and dates them by it', async () => {
  const bench = new Bench()
  bench.isKnown = false
  await using _ = running(bench.worker)
  await bench.settle()
  await bench.pass(14.5 * minuteMs)
  expect(bench.records).toEqual([])

  bench.isKnown = true
  bench.offsetMs = 3_600_000
  await bench.pass(1_000)

  expect(bench.timesMs).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14].map((minute) => minute * minuteMs + bench.offsetMs))
})

test('looks for the time by itself while it waits for it', async () => {
  const bench = new Bench()
  bench.isKnown = false
  await using _ = running(bench.worker)
  await bench.settle()
  expect((bench.worker.health().nextPassMs ?? 0) - performance.now()).toBe(1_000)
})

test('rests until the next tick', async () => {
  const bench = new Bench({ intervalSeconds: 300 })
  await using _ = running(bench.worker)
  await bench.settle()
  await bench.pass(10_000, 10_000)
  expect((bench.worker.health().nextPassMs ?? 0) - performance.now()).toBe(290_000)
})

test('goes without the free space where the folder cannot be asked', async () => {
  const bench = new Bench({}, '/nowhere')
  await using _ = running(bench.worker)
  await bench.settle()
  expect(bench.records[0]).not.toHaveProperty('StateFreeBytes')
  expect(bench.worker.health().state).toBe('ok')
})

test('tells free space, memory and generation, and publishes what it is told to', async () => {
  const bench = new Bench({ publish: ['StateFreeBytes'] })
  await using _ = running(bench.worker)
  await bench.settle()
  const [record] = bench.records
  expect(record).toMatchObject({ DeviceId: 'device-1', DeviceName: 'dock-1', Generation: 1, Version: '0.1.0' })
  for (const name of ['StateFreeBytes', 'MemoryRssBytes', 'MemoryHeapBytes']) expect(record?.[name]).toBeGreaterThan(0)
  expect(record?._aws.CloudWatchMetrics).toMatchObject([
    { Metrics: [{ Name: 'DeviceActive' }, { Name: 'StateFreeBytes' }] },
  ])
})
