import { readEmbeddedMetrics, type ExtractedMetric } from './embedded-metrics.ts'
import type { InputLogEvent } from './log-batch-limits.ts'

export interface StreamMetric extends ExtractedMetric {
  readonly group: string
  readonly stream: string
}

/** An event that was meant as metrics and is not valid. */
export interface MetricFault {
  readonly group: string
  readonly stream: string
  readonly message: string
  readonly reason: string
}

const maxKept = 10_000

/** The metrics in the events that were accepted, and what was wrong with others; of each the latest 10,000. */
export class ExtractedMetrics {
  #metrics: readonly StreamMetric[] = []
  #faults: readonly MetricFault[] = []

  get metrics(): readonly StreamMetric[] {
    return this.#metrics
  }

  get faults(): readonly MetricFault[] {
    return this.#faults
  }

  add(names: { readonly group: string; readonly stream: string }, batch: AcceptedBatch): void {
    for (const { message } of batch.events) {
      const found = readEmbeddedMetrics(message, batch.nowMs)
      if (found.kind === 'fault') {
        this.#faults = [...this.#faults, { ...names, message, reason: found.reason }].slice(-maxKept)
      } else if (found.kind === 'metrics') {
        const metrics = found.metrics.map((metric) => ({ ...names, ...metric }))
        this.#metrics = [...this.#metrics, ...metrics].slice(-maxKept)
      }
    }
  }
}

interface AcceptedBatch {
  readonly events: readonly InputLogEvent[]
  readonly nowMs: number
}
