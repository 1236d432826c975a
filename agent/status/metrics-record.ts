import type { Config } from '../config/config-schema.ts'
import type { PartStatus, StatusDocument } from './status-document.ts'

type MetricName = Config['metrics']['publish'][number]

/** What the process knows of itself and its disk; undefined where it could not be had. */
export interface Vitals {
  readonly rssBytes: number
  readonly heapBytes: number
  /** Of the file system of the state folder. */
  readonly freeBytes: number | undefined
  /** How many configurations were taken up since the start, the first included. */
  readonly generation: number
}

/** Those that are known, each a finite number. */
export type MetricValues = Readonly<Partial<Record<MetricName, number>>>

export interface RecordOptions {
  /** Of the metrics; milliseconds since 1970 in cloud time. */
  readonly timestampMs: number
  readonly device: Pick<StatusDocument['device'], 'id' | 'name'>
  readonly version: string
  /** What becomes a metric, beside DeviceActive. What has no value then is left out. */
  readonly publish: readonly MetricName[]
}

const namespace = 'PanoramaDeviceMetrics'

/** The units of CloudWatch ("MetricDatum", API reference). */
const units: Readonly<Record<MetricName, 'Bytes' | 'Count' | 'None' | 'Seconds'>> = {
  LogLagSeconds: 'Seconds',
  LogEventsLost: 'Count',
  LogBytesLost: 'Bytes',
  LogGapsPending: 'Count',
  LogBacklogBytes: 'Bytes',
  ArtifactsFailing: 'Count',
  ArtifactAgeSeconds: 'Seconds',
  ArtifactBytesFetched: 'Bytes',
  CamerasFailing: 'Count',
  CredentialExpirySeconds: 'Seconds',
  CertificateExpiryDays: 'None',
  ClockOffsetSeconds: 'Seconds',
  WorkersOverdue: 'Count',
  MemoryRssBytes: 'Bytes',
  MemoryHeapBytes: 'Bytes',
  StateFreeBytes: 'Bytes',
  UptimeSeconds: 'Seconds',
  Generation: 'Count',
  TrafficBytes: 'Bytes',
}

/**
 * One event in CloudWatch's embedded metric format ("Embedded metric format specification", CloudWatch user guide):
 * DeviceActive is 1, in the names that AWS Panorama gave it; `values` are plain fields beside it. Numbers only, but for
 * the names of the device and the version; under 4 KiB.
 */
export function metricsRecord(values: MetricValues, { timestampMs, device, version, publish }: RecordOptions): string {
  const published = [...new Set(publish)].filter((name) => values[name] !== undefined)
  const metrics = published.map((name) => ({ Name: name, Unit: units[name] }))
  return JSON.stringify({
    _aws: {
      Timestamp: Math.floor(timestampMs),
      CloudWatchMetrics: [
        {
          Namespace: namespace,
          Dimensions: [['DeviceId', 'DeviceName']],
          Metrics: [{ Name: 'DeviceActive', Unit: 'Count' }, ...metrics],
        },
      ],
    },
    DeviceId: device.id,
    DeviceName: device.name,
    DeviceActive: 1,
    Version: version,
    ...values,
  })
}

/** The figures of a status document and of the process at one moment. */
export function metricValues(status: StatusDocument, vitals: Vitals): MetricValues {
  const { agent, artifacts, cameras, clock, logs, overdue } = status
  const nowMs = Date.parse(clock.now)
  const uptimeSeconds = secondsBetween(agent.startedAt, nowMs)
  const all: Readonly<Record<MetricName, number | undefined>> = {
    LogLagSeconds: max(logs.sources.map(({ lagSeconds = 0 }) => lagSeconds)),
    LogEventsLost: logs.lost,
    LogBytesLost: logs.lostBytes,
    LogGapsPending: logs.gapsPending,
    LogBacklogBytes: logs.pendingBytes,
    ArtifactsFailing: failing(artifacts),
    ArtifactAgeSeconds: max(artifacts.map(({ lastGoodAt = agent.startedAt }) => secondsBetween(lastGoodAt, nowMs))),
    ArtifactBytesFetched: artifacts.reduce((sum, { fetchedBytes }) => sum + fetchedBytes, 0),
    CamerasFailing: failing(cameras),
    CredentialExpirySeconds: credentialExpirySeconds(status, nowMs),
    CertificateExpiryDays: certificateExpiryDays(status, nowMs),
    ClockOffsetSeconds: clock.offsetSeconds,
    WorkersOverdue: overdue.length,
    MemoryRssBytes: vitals.rssBytes,
    MemoryHeapBytes: vitals.heapBytes,
    StateFreeBytes: vitals.freeBytes,
    UptimeSeconds: uptimeSeconds,
    Generation: vitals.generation,
    TrafficBytes: status.network?.traffic.bytes,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => Number.isFinite(value)))
}

/** Of the credentials in use, the chained role's where there is one; below 0 when they have run out. */
function credentialExpirySeconds({ credentials }: StatusDocument, nowMs: number): number | undefined {
  const expiresAt = credentials.at(-1)?.expiresAt
  return expiresAt === undefined ? undefined : Math.floor((Date.parse(expiresAt) - nowMs) / 1000)
}

/** Whole days; unknown while the time is, because the certificate states its end by the calendar. */
function certificateExpiryDays({ identity, clock }: StatusDocument, nowMs: number): number | undefined {
  const { certificateExpiresAt } = identity
  if (certificateExpiresAt === undefined || !clock.known) return undefined
  return Math.floor((Date.parse(certificateExpiresAt) - nowMs) / 86_400_000)
}

function failing(parts: readonly PartStatus[]): number {
  return parts.filter(({ state }) => state === 'failing').length
}

function secondsBetween(instant: string, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - Date.parse(instant)) / 1000))
}

/** Undefined where there is none. */
function max(numbers: readonly number[]): number | undefined {
  return numbers.length === 0 ? undefined : Math.max(...numbers)
}
