import { z } from 'zod'

/** One metric of one set of dimensions, as CloudWatch would count it. */
export interface ExtractedMetric {
  readonly namespace: string
  readonly name: string
  readonly unit: string
  /** Seconds. */
  readonly storageResolution: 1 | 60
  readonly dimensions: Readonly<Record<string, string>>
  /** 1 to 100. */
  readonly values: readonly number[]
  /** Milliseconds since 1970. */
  readonly timestampMs: number
}

export type EmbeddedMetrics =
  /** An event like any other. */
  | { readonly kind: 'none' }
  | { readonly kind: 'metrics'; readonly metrics: readonly ExtractedMetric[] }
  /** Meant as metrics, but not valid: the event is stored, no metric is made of it (AWS counts EMFValidationErrors). */
  | { readonly kind: 'fault'; readonly reason: string }

const dayMs = 86_400_000
const hourMs = 3_600_000
const maxValues = 100
/** PutMetricData, API reference: "Values must be in the range of -2^360 to 2^360". */
const maxValue = 2 ** 360

const units =
  'Seconds|Microseconds|Milliseconds|Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|' +
  'Terabits|Percent|Count|Bytes/Second|Kilobytes/Second|Megabytes/Second|Gigabytes/Second|Terabytes/Second|Bits/Second|' +
  'Kilobits/Second|Megabits/Second|Gigabits/Second|Terabits/Second|Count/Second|None'

const ascii = /^[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*$/
const dimensionName = z.string().max(250).regex(ascii, 'is not printable ASCII').regex(/^[^:]/, 'starts with a colon')
const dimensionValue = z.string('is not a string').max(1024).regex(ascii, 'is empty or not printable ASCII')
const metricName = z.string().max(255).regex(ascii, 'is not printable ASCII')
const metricValue = z.number('is not a number').min(-maxValue).max(maxValue)
const metricValues = z.union([metricValue.transform((value) => [value]), z.array(metricValue).min(1).max(maxValues)])

const metadata = z.object({
  Timestamp: z.int().min(0),
  CloudWatchMetrics: z.array(
    z.object({
      Namespace: z
        .string()
        .max(255)
        .regex(/^(?!AWS\/)[0-9A-Za-z._/#: -]*[0-9A-Za-z._/#:-][0-9A-Za-z._/#: -]*$/, 'is not a namespace of ours')
        .regex(/^[^:]/, 'starts with a colon'),
      Dimensions: z.array(z.array(dimensionName).max(30).refine(isUnique, 'names a dimension twice')).min(1),
      Metrics: z
        .array(
          z.object({
            Name: metricName,
            Unit: z.enum(units.split('|'), 'is no unit').default('None'),
            StorageResolution: z.union([z.literal(1), z.literal(60)]).default(60),
          }),
        )
        .max(100)
        .refine((metrics) => isUnique(metrics.map(({ Name }) => Name)), 'names a metric twice'),
    }),
  ),
})

/**
 * Reads an event by the "Specification: Embedded metric format" of the CloudWatch user guide and, where PutMetricData is
 * stricter about names and values, by that.
 */
export function readEmbeddedMetrics(message: string, nowMs: number): EmbeddedMetrics {
  const root = readRoot(message)
  if (root?.['_aws'] === undefined) return { kind: 'none' }
  const { data, error } = metadata.safeParse(root['_aws'])
  if (error !== undefined) return fault('_aws', error)
  const timestampMs = data.Timestamp
  if (timestampMs < nowMs - 14 * dayMs || timestampMs > nowMs + 2 * hourMs) {
    return { kind: 'fault', reason: '_aws.Timestamp is more than 14 days old or more than 2 hours ahead' }
  }
  const metrics: ExtractedMetric[] = []
  for (const { Namespace: namespace, Dimensions, Metrics } of data.CloudWatchMetrics) {
    for (const { Name: name, Unit: unit, StorageResolution: storageResolution } of Metrics) {
      const values = metricValues.safeParse(root[name])
      if (!values.success) return fault(name, values.error)
      for (const names of Dimensions) {
        const dimensions = z.object(Object.fromEntries(names.map((key) => [key, dimensionValue]))).safeParse(root)
        if (!dimensions.success) return fault('dimension', dimensions.error)
        const shared = { namespace, name, unit, storageResolution, timestampMs }
        metrics.push({ ...shared, dimensions: dimensions.data, values: values.data })
      }
    }
  }
  return { kind: 'metrics', metrics }
}

function readRoot(message: string): Readonly<Record<string, unknown>> | undefined {
  if (!message.startsWith('{') || !message.includes('"_aws"')) return undefined // most events, not worth a parse
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(message))
  } catch {
    return undefined
  }
}

function fault(what: string, { issues }: z.ZodError): EmbeddedMetrics {
  const reasons = issues.map(({ path, message }) => `${[what, ...path].join('.')}: ${message}`)
  return { kind: 'fault', reason: reasons.join('; ') }
}

function isUnique(names: readonly string[]): boolean {
  return new Set(names).size === names.length
}
