import { expect, test } from 'vitest'

import { readEmbeddedMetrics } from '../../../cloud/logs/embedded-metrics.ts'
import { dayMs, hourMs, startMs } from './logs-fixture.ts'

interface Changes {
  readonly timestamp?: unknown
  readonly directive?: Readonly<Record<string, unknown>>
  readonly metric?: Readonly<Record<string, unknown>>
  readonly root?: Readonly<Record<string, unknown>>
}

/** A valid event, but for the changes. */
function emf({ timestamp = startMs, directive, metric, root }: Changes = {}): string {
  const metrics = [{ Name: 'DeviceActive', Unit: 'Count', ...metric }]
  const directives = [
    { Namespace: 'PanoramaDeviceMetrics', Dimensions: [['DeviceId'], []], Metrics: metrics, ...directive },
  ]
  const _aws = { Timestamp: timestamp, CloudWatchMetrics: directives }
  return JSON.stringify({ _aws, DeviceId: 'device-1', DeviceActive: 1, ...root })
}

const read = (message: string) => readEmbeddedMetrics(message, startMs)
const many = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `m${index}`)

test('makes a metric of each name and each set of dimensions', () => {
  const shared = { namespace: 'PanoramaDeviceMetrics', name: 'DeviceActive', unit: 'Count', timestampMs: startMs }
  const metric = { ...shared, storageResolution: 60, values: [1] }
  const metrics = [
    { ...metric, dimensions: { DeviceId: 'device-1' } },
    { ...metric, dimensions: {} },
  ]
  expect(read(emf())).toEqual({ kind: 'metrics', metrics })
})

test('takes up to a hundred values of a metric, and the unit None for none', () => {
  const found = read(emf({ root: { DeviceActive: Array(100).fill(2) }, metric: { Unit: undefined } }))
  expect(found).toMatchObject({ metrics: [{ unit: 'None', values: Array(100).fill(2) }, {}] })
})

test.each(['plain text', '{"level":"info"}', '{"_aws":', '["_aws"]', '{"text":"\\"_aws\\""}'])(
  'takes %s for an event like any other',
  (message) => {
    expect(read(message)).toEqual({ kind: 'none' })
  },
)

test.each<readonly [string, Changes]>([
  ['no timestamp', { timestamp: null }],
  ['a timestamp in text', { timestamp: String(startMs) }],
  ['a fraction of a millisecond', { timestamp: startMs + 0.5 }],
  ['a timestamp over 14 days old', { timestamp: startMs - 14 * dayMs - 1 }],
  ['a timestamp over 2 hours ahead', { timestamp: startMs + 2 * hourMs + 1 }],
  ['no namespace', { directive: { Namespace: undefined } }],
  ['an empty namespace', { directive: { Namespace: '' } }],
  ['a namespace of 256 characters', { directive: { Namespace: 'n'.repeat(256) } }],
  ["a namespace of Amazon's", { directive: { Namespace: 'AWS/Panorama' } }],
  ['a namespace with a colon in front', { directive: { Namespace: ':x' } }],
  ['a namespace with another character', { directive: { Namespace: 'a*b' } }],
  ['no dimensions', { directive: { Dimensions: undefined } }],
  ['no set of dimensions', { directive: { Dimensions: [] } }],
  ['dimensions that are no set', { directive: { Dimensions: ['DeviceId'] } }],
  [
    'more than 30 dimensions',
    { directive: { Dimensions: [many(31)] }, root: Object.fromEntries(many(31).map((m) => [m, m])) },
  ],
  ['a dimension twice', { directive: { Dimensions: [['DeviceId', 'DeviceId']] } }],
  ['a dimension without its value', { directive: { Dimensions: [['DeviceName']] } }],
  ['a dimension whose value is a number', { root: { DeviceId: 7 } }],
  ['a dimension whose value is empty', { root: { DeviceId: ' ' } }],
  ['a dimension whose value is not ASCII', { root: { DeviceId: 'zażółć' } }],
  ['a dimension whose value is too long', { root: { DeviceId: 'd'.repeat(1_025) } }],
  [
    'a dimension of 251 characters',
    { directive: { Dimensions: [['d'.repeat(251)]] }, root: { ['d'.repeat(251)]: 'x' } },
  ],
  ['a dimension with a colon in front', { directive: { Dimensions: [[':d']] }, root: { ':d': 'x' } }],
  ['no metrics', { directive: { Metrics: undefined } }],
  [
    'more than 100 metrics',
    {
      directive: { Metrics: many(101).map((Name) => ({ Name })) },
      root: Object.fromEntries(many(101).map((m) => [m, 1])),
    },
  ],
  ['a metric twice', { directive: { Metrics: [{ Name: 'DeviceActive' }, { Name: 'DeviceActive' }] } }],
  ['a metric without a name', { metric: { Name: undefined } }],
  ['a metric of 256 characters', { metric: { Name: 'm'.repeat(256) }, root: { ['m'.repeat(256)]: 1 } }],
  ['a unit that there is not', { metric: { Unit: 'Furlongs' } }],
  ['a storage resolution of 30 s', { metric: { StorageResolution: 30 } }],
  ['a metric without its value', { metric: { Name: 'Lag' } }],
  ['a value in text', { root: { DeviceActive: '1' } }],
  ['a value out of range', { root: { DeviceActive: 2 ** 361 } }],
  ['no value in a list', { root: { DeviceActive: [] } }],
  ['more than 100 values', { root: { DeviceActive: Array(101).fill(1) } }],
])('makes no metric of an event with %s', (_, changes) => {
  const found = read(emf(changes))
  expect(found.kind).toBe('fault')
})
