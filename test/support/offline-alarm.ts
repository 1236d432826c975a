import * as z from 'zod'

import { readTemplate } from '../cloud/iam/cloud-policies.ts'
import type { StoredEvent } from '../cloud/logs/logs-store.ts'

/** The alarms that this knows to evaluate: one metric that is there or missing in each period. */
const alarmSchema = z.object({
  Namespace: z.string(),
  MetricName: z.string(),
  Dimensions: z.array(z.object({ Name: z.string(), Value: z.string() })),
  Statistic: z.literal('Maximum'),
  Period: z.literal(60),
  EvaluationPeriods: z.int(),
  DatapointsToAlarm: z.int(),
  Threshold: z.number(),
  ComparisonOperator: z.literal('LessThanThreshold'),
  TreatMissingData: z.literal('breaching'),
})

const recordSchema = z
  .object({
    _aws: z.object({
      Timestamp: z.int(),
      CloudWatchMetrics: z.array(
        z.object({
          Namespace: z.string(),
          Dimensions: z.array(z.array(z.string())),
          Metrics: z.array(z.object({ Name: z.string() })),
        }),
      ),
    }),
  })
  .catchall(z.union([z.string(), z.number()]))

interface Datapoint {
  readonly atMs: number
  readonly ingestedAtMs: number
  readonly value: number
}

/** `config/cloud/offline-alarm.json` of one device, over what CloudWatch makes of log events in embedded metric format. */
export class OfflineAlarm {
  readonly #alarm: z.infer<typeof alarmSchema>

  private constructor(alarm: z.infer<typeof alarmSchema>) {
    this.#alarm = alarm
  }

  static async of(device: { readonly id: string; readonly name: string }): Promise<OfflineAlarm> {
    const variables = { DeviceId: device.id, DeviceName: device.name, TopicArn: 'arn:aws:sns:us-west-2:1:t' }
    return new OfflineAlarm(alarmSchema.parse(await readTemplate('offline-alarm', variables)))
  }

  /** When the datapoints of its metric are, oldest first; a record of another namespace, name or dimension has none. */
  timesMs(events: readonly StoredEvent[]): readonly number[] {
    return this.#datapoints(events).map(({ atMs }) => atMs)
  }

  /** Whether it is in alarm at a moment, by what had arrived then. The minute that is not over does not count. */
  isInAlarm(events: readonly StoredEvent[], nowMs: number): boolean {
    const { Period, EvaluationPeriods, DatapointsToAlarm, Threshold } = this.#alarm
    const periodMs = Period * 1_000
    const arrived = this.#datapoints(events).filter(({ ingestedAtMs }) => ingestedAtMs <= nowMs)
    const lastEndMs = Math.floor(nowMs / periodMs) * periodMs
    const periods = Array.from({ length: EvaluationPeriods }, (_, back) => lastEndMs - (back + 1) * periodMs)
    const breaching = periods.filter((startMs) => {
      const values = arrived.filter(({ atMs }) => atMs >= startMs && atMs < startMs + periodMs)
      return values.length === 0 || Math.max(...values.map(({ value }) => value)) < Threshold
    })
    return breaching.length >= DatapointsToAlarm
  }

  #datapoints(events: readonly StoredEvent[]): readonly Datapoint[] {
    const { Namespace, MetricName, Dimensions } = this.#alarm
    return events.flatMap(({ message, ingestedAtMs }) => {
      const record = recordSchema.parse(JSON.parse(message))
      const isMeant = record._aws.CloudWatchMetrics.some(
        (directive) =>
          directive.Namespace === Namespace &&
          directive.Metrics.some(({ Name }) => Name === MetricName) &&
          directive.Dimensions.some((names) => names.join() === Dimensions.map(({ Name }) => Name).join()) &&
          Dimensions.every(({ Name, Value }) => record[Name] === Value),
      )
      return isMeant ? [{ atMs: record._aws.Timestamp, ingestedAtMs, value: z.number().parse(record[MetricName]) }] : []
    })
  }
}
