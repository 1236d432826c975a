import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'

import { configSchema } from '../../../agent/config/config-schema.ts'
import { metricsRecord, metricValues, type MetricValues, type Vitals } from '../../../agent/status/metrics-record.ts'
import { configDocument } from '../../support/config-document.ts'
import { statusDocument } from '../../support/status-document.ts'

const options = {
  timestampMs: 1_800_000_000_000.7,
  device: { id: 'device-1', name: 'dock-1' },
  version: '0.1.0',
  publish: [],
}
const vitals: Vitals = { rssBytes: 1e8, heapBytes: 2e7, freeBytes: 5e9, generation: 3 }
const idleArtifact = { name: 'a', phase: 'idle', files: 1, bytes: 1, fetchedFiles: 1 }
const names = Object.keys(metricValues(wholeStatus(), vitals)) as (keyof MetricValues)[] // the agent's own names

/** The embedded metric format specification of the CloudWatch user guide. */
const recordSchema = z
  .object({
    _aws: z.strictObject({
      Timestamp: z.int().min(0),
      CloudWatchMetrics: z
        .array(
          z.strictObject({
            Namespace: z.string().min(1).max(256),
            Dimensions: z.array(z.array(z.string().min(1).max(250)).max(30)).min(1),
            Metrics: z
              .array(z.strictObject({ Name: z.string(), Unit: z.enum(['Seconds', 'Bytes', 'Count', 'None']) }))
              .max(100),
          }),
        )
        .min(1),
    }),
  })
  .catchall(z.union([z.number(), z.string().max(1024)]))

describe('a metrics record', () => {
  test('holds DeviceActive in the names of AWS Panorama, and nothing else as a metric', () => {
    expect(JSON.parse(metricsRecord({ LogLagSeconds: 3 }, options))).toEqual({
      _aws: {
        Timestamp: 1_800_000_000_000,
        CloudWatchMetrics: [
          {
            Namespace: 'PanoramaDeviceMetrics',
            Dimensions: [['DeviceId', 'DeviceName']],
            Metrics: [{ Name: 'DeviceActive', Unit: 'Count' }],
          },
        ],
      },
      DeviceId: 'device-1',
      DeviceName: 'dock-1',
      DeviceActive: 1,
      Version: '0.1.0',
      LogLagSeconds: 3,
    })
  })

  test('publishes what is named and has a value, each once and with its unit', () => {
    const publish = ['LogLagSeconds', 'StateFreeBytes', 'LogLagSeconds', 'CamerasFailing'] as const
    const record = recordSchema.parse(
      JSON.parse(metricsRecord({ LogLagSeconds: 3, CamerasFailing: 0 }, { ...options, publish })),
    )
    expect(record._aws.CloudWatchMetrics[0]?.Metrics).toEqual([
      { Name: 'DeviceActive', Unit: 'Count' },
      { Name: 'LogLagSeconds', Unit: 'Seconds' },
      { Name: 'CamerasFailing', Unit: 'Count' },
    ])
  })

  test('is valid, bounded, and has every metric and dimension of it, whatever is published', () => {
    const values = fc.dictionary(fc.constantFrom(...names), fc.double({ noNaN: true, noDefaultInfinity: true }))
    const label = fc.stringMatching(/^[A-Za-z0-9._/#-]{1,256}$/, { size: 'max' })
    fc.assert(
      fc.property(values, fc.array(fc.constantFrom(...names)), label, (of, publish, id) => {
        const text = metricsRecord(of, { ...options, publish, device: { id, name: id } })
        const record = recordSchema.parse(JSON.parse(text))
        const [directive] = record._aws.CloudWatchMetrics
        for (const { Name } of directive?.Metrics ?? []) expect(typeof record[Name]).toBe('number')
        for (const name of directive?.Dimensions.flat() ?? []) expect(typeof record[name]).toBe('string')
        expect(Buffer.byteLength(text)).toBeLessThan(4096)
      }),
    )
  })

  test('knows every name that the configuration lets be published', () => {
    const metrics = { publish: names }
    expect(configSchema.parse({ ...configDocument(), metrics }).metrics.publish).toEqual(names)
  })
})

describe('its values', () => {
  test('are those of the status and of the process', () => {
    expect(metricValues(wholeStatus(), vitals)).toEqual({
      LogLagSeconds: 40,
      LogEventsLost: 5,
      LogBytesLost: 6,
      LogGapsPending: 2,
      LogBacklogBytes: 7,
      ArtifactsFailing: 1,
      ArtifactAgeSeconds: 1_800,
      ArtifactBytesFetched: 300,
      CamerasFailing: 1,
      CredentialExpirySeconds: 600,
      CertificateExpiryDays: 31,
      ClockOffsetSeconds: -9,
      WorkersOverdue: 1,
      MemoryRssBytes: 1e8,
      MemoryHeapBytes: 2e7,
      StateFreeBytes: 5e9,
      UptimeSeconds: 3_600,
      Generation: 3,
    })
  })

  test('leave out what is not known', () => {
    const values = metricValues(statusDocument(), { ...vitals, freeBytes: undefined })
    expect(Object.keys(values)).toEqual([
      'LogEventsLost',
      'LogBytesLost',
      'LogGapsPending',
      'LogBacklogBytes',
      'ArtifactsFailing',
      'ArtifactBytesFetched',
      'CamerasFailing',
      'CertificateExpiryDays',
      'ClockOffsetSeconds',
      'WorkersOverdue',
      'MemoryRssBytes',
      'MemoryHeapBytes',
      'UptimeSeconds',
      'Generation',
    ])
  })

  test('count an artifact that never was good from the start of the agent', () => {
    const artifacts = [{ ...idleArtifact, state: 'starting', fetchedBytes: 0 }]
    expect(metricValues(statusDocument({ artifacts }), vitals)).toMatchObject({ ArtifactAgeSeconds: 3_600 })
  })

  test('hold no days to the end of the certificate while the date is not known', () => {
    const { clock } = wholeStatus()
    const values = metricValues({ ...wholeStatus(), clock: { ...clock, known: false } }, vitals)
    expect(values).not.toHaveProperty('CertificateExpiryDays')
  })

  test('are below 0 for credentials that have run out', () => {
    const [credentials] = wholeStatus().credentials
    const expired = { ...(credentials ?? fail()), expiresAt: '2027-01-01T00:59:50.000Z' }
    expect(metricValues({ ...wholeStatus(), credentials: [expired] }, vitals)).toMatchObject({
      CredentialExpirySeconds: -10,
    })
  })
})

function wholeStatus() {
  const source = { state: 'ok', name: '/a', group: '/group', path: '/a', stream: 'a', positionBytes: 0, sizeBytes: 1 }
  return statusDocument({
    clock: { now: '2027-01-01T01:00:00.000Z', offsetSeconds: -9, known: true },
    identity: { state: 'ok', certificateExpiresAt: '2027-02-01T12:00:00.000Z' },
    credentials: [
      { name: 'credentials', state: 'ok', fetches: 1, expiresAt: '2027-01-01T01:50:00.000Z' },
      { name: 'chained-credentials', state: 'ok', fetches: 1, expiresAt: '2027-01-01T01:10:00.000Z' },
    ],
    artifacts: [
      { ...idleArtifact, state: 'ok', fetchedBytes: 100, lastGoodAt: '2027-01-01T00:59:00.000Z' },
      { ...idleArtifact, state: 'failing', fetchedBytes: 200, lastGoodAt: '2027-01-01T00:30:00.000Z' },
    ],
    cameras: [
      { name: 'one', state: 'ok' },
      { name: 'two', state: 'failing' },
      { name: 'three', state: 'starting' },
    ],
    logs: {
      state: 'ok',
      group: '/group',
      accepted: 9,
      lost: 5,
      lostBytes: 6,
      leftOut: 0,
      leftOutBytes: 0,
      pendingBytes: 7,
      gapsPending: 2,
      catchingUp: false,
      sources: [source, { ...source, lagSeconds: 40 }, { ...source, lagSeconds: 3 }],
    },
    overdue: ['logs'],
  })
}

function fail(): never {
  throw new Error('the status has no such part')
}
