import { statfs } from 'node:fs/promises'

import type { Config } from '../config/config-schema.ts'
import { withDeadline } from '../lib/abort.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type PassOutcome } from '../lib/worker.ts'
import { metricsRecord, metricValues, type RecordOptions, type MetricValues } from './metrics-record.ts'
import type { StatusDocument } from './status-document.ts'

export interface MetricsWorkerDeps {
  readonly config: Config['metrics']
  readonly status: () => StatusDocument
  /** See Vitals. */
  readonly generation: number
  readonly stateFolder: string
  readonly clock: {
    /** A moment on the monotonic clock in cloud time. */
    timeOf(atMonotonicMs: number): number
    /** Undefined until a server told the time. */
    lastKnownMs(): number | undefined
  }
  /** Takes a record on its way; bounds what it cannot send. */
  readonly offer: (record: string) => void
  readonly log: Log
}

/** What was seen at a tick. */
interface Sample extends Omit<RecordOptions, 'timestampMs' | 'publish'> {
  /** When the tick was due, on the monotonic clock. */
  readonly atMs: number
  readonly values: MetricValues
}

const maxWaiting = 10
const clockLookMs = 1_000
const statfsWithinMs = 5_000

/**
 * Makes a metrics record right at the start and then every `intervalSeconds`, to the tick of the monotonic clock: what
 * passes late does not move the next one, and a record has the time that its tick was due, so that there is one in every
 * minute. Ticks that passed unused, such as in a stopped process, are left out. While no server has told the time, the
 * newest ten ticks wait for it, because a record states its time itself: nobody could mend it later. Until then
 * nothing can be sent anyway. A wrong time that was learnt from a server stays in the records made by it.
 */
export function createMetricsWorker(deps: MetricsWorkerDeps): Worker {
  const metrics = new Metrics(deps)
  return new Worker({ name: 'metrics', log: deps.log, runPass: async ({ signal }) => await metrics.pass(signal) })
}

class Metrics {
  readonly #deps: MetricsWorkerDeps
  readonly #intervalMs: number
  #nextTickMs = -Infinity
  #waiting: readonly Sample[] = []

  constructor(deps: MetricsWorkerDeps) {
    this.#deps = deps
    this.#intervalMs = deps.config.intervalSeconds * 1_000
  }

  async pass(signal: AbortSignal): Promise<PassOutcome> {
    const tickMs = this.#takeTick()
    if (tickMs !== undefined) {
      const sample = await this.#sample(tickMs, signal)
      this.#waiting = [...this.#waiting, sample].slice(-maxWaiting)
    }
    this.#offerWaiting()
    const untilTickMs = Math.max(0, this.#nextTickMs - monotonicMs())
    return { nextInMs: this.#waiting.length === 0 ? untilTickMs : Math.min(untilTickMs, clockLookMs) }
  }

  /** The newest tick that is due, if there is one. */
  #takeTick(): number | undefined {
    const nowMs = monotonicMs()
    if (this.#nextTickMs === -Infinity) this.#nextTickMs = nowMs
    if (nowMs < this.#nextTickMs) return undefined
    const passed = Math.floor((nowMs - this.#nextTickMs) / this.#intervalMs)
    const tickMs = this.#nextTickMs + passed * this.#intervalMs
    this.#nextTickMs = tickMs + this.#intervalMs
    return tickMs
  }

  async #sample(atMs: number, signal: AbortSignal): Promise<Sample> {
    const { status, generation } = this.#deps
    const freeBytes = await this.#freeBytes(signal)
    const { rss, heapUsed } = process.memoryUsage()
    const document = status()
    const values = metricValues(document, { rssBytes: rss, heapBytes: heapUsed, freeBytes, generation })
    return { atMs, values, device: document.device, version: document.agent.version }
  }

  async #freeBytes(signal: AbortSignal): Promise<number | undefined> {
    const deadline = { signal, withinMs: statfsWithinMs, what: 'the look at free space' }
    try {
      const { bavail, bsize } = await withDeadline(deadline, async () => await statfs(this.#deps.stateFolder))
      return bavail * bsize
    } catch {
      return undefined // whoever needs the folder reports it
    }
  }

  #offerWaiting(): void {
    const { clock, config, offer } = this.#deps
    if (clock.lastKnownMs() === undefined) return
    for (const { atMs, values, ...of } of this.#waiting) {
      offer(metricsRecord(values, { ...of, timestampMs: clock.timeOf(atMs), publish: config.publish }))
    }
    this.#waiting = []
  }
}
