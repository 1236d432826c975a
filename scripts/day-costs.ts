import type { LinkTraffic } from '../test/support/counting-link.ts'

/** What was measured of one appliance. */
export interface MeasuredRest {
  readonly minutes: number
  /** By endpoint. */
  readonly traffic: Readonly<Record<string, LinkTraffic>>
  /** By `service:action`. */
  readonly requests: Readonly<Record<string, number>>
}

export interface CostLine {
  readonly what: string
  /** Of one appliance. */
  readonly aDay: number
  readonly unit: string
  /** US dollars, of 1,000 appliances in 30 days. */
  readonly dollars: number
}

const minutesADay = 1_440
const appliances = 1_000
const days = 30
/** IPv4 and TCP with timestamps. */
const headerBytes = 52
/** To open and close a connection, each with nothing but headers. */
const packetsPerConnection = 7
/** By which a chain of Amazon's is longer than that of the local cloud: an assumption. */
const longerChainBytes = 4_000
/** A record of metrics with the 26 bytes that CloudWatch Logs counts beside it. */
const recordBytes = 730

/**
 * US dollars, list prices of US West (Oregon) without free tiers, as public pages showed them in September and November 2026: check
 * https://aws.amazon.com/pricing before relying on them.
 */
const prices = {
  connectionMinute: 0.08 / 1e6,
  message: 1 / 1e6,
  shadowOperation: 1.25 / 1e6,
  listRequest: 0.005 / 1_000,
  secretsCall: 0.05 / 10_000,
  logGigabyte: 0.5,
  customMetricMonth: 0.3,
  transferGigabyte: 0.09,
} as const

/** Requests and bytes of a day, in the order of the endpoints. */
export function dayTraffic({ minutes, traffic }: MeasuredRest): Readonly<Record<string, object>> {
  const aDay = (number: number): number => Math.round((number / minutes) * minutesADay)
  return Object.fromEntries(
    Object.entries(traffic).map(([name, link]) => [
      name,
      {
        connections: aDay(link.connections),
        'kB sent': Math.round(aDay(link.bytesSent) / 1_000),
        'kB received': Math.round(aDay(link.bytesReceived) / 1_000),
        'kB with TCP and IP': Math.round(aDay(lineBytes(link)) / 1_000),
        'and longer chains': Math.round(aDay(lineBytes(link) + link.connections * longerChainBytes) / 1_000),
      },
    ]),
  )
}

/** What AWS bills for it. */
export function monthCosts(measured: MeasuredRest): readonly CostLine[] {
  const { minutes, traffic, requests } = measured
  const aDay = (number: number): number => (number / minutes) * minutesADay
  const count = (isCounted: (name: string) => boolean): number =>
    aDay(Object.entries(requests).reduce((sum, [name, number]) => sum + (isCounted(name) ? number : 0), 0))
  const received = Object.values(traffic).reduce((sum, link) => sum + link.bytesReceived, 0)
  const puts = count((name) => name === 'logs:PutLogEvents')
  return [
    line('IoT: minutes of connection', minutesADay, 'minutes', prices.connectionMinute),
    line(
      'IoT: messages',
      count((name) => name.startsWith('iot:')),
      'messages',
      prices.message,
    ),
    line(
      'IoT: shadow operations',
      count((name) => name.startsWith('iot-shadow:')),
      'operations',
      prices.shadowOperation,
    ),
    line(
      'S3: lists',
      count((name) => name === 's3:ListObjectsV2'),
      'requests',
      prices.listRequest,
    ),
    line(
      'Secrets Manager: calls',
      count((name) => name.startsWith('secretsmanager:')),
      'calls',
      prices.secretsCall,
    ),
    line('CloudWatch Logs: metrics records', (puts * recordBytes) / 1e9, 'GB', prices.logGigabyte),
    line('CloudWatch: metric DeviceActive', 1 / days, 'metrics a month', prices.customMetricMonth),
    line('Data from AWS', aDay(received) / 1e9, 'GB', prices.transferGigabyte),
  ]
}

function lineBytes({ bytesSent, bytesReceived, pieces, connections }: LinkTraffic): number {
  const packets = 2 * pieces + packetsPerConnection * connections // each piece is acknowledged
  return bytesSent + bytesReceived + packets * headerBytes
}

function line(...[what, aDay, unit, price]: readonly [string, number, string, number]): CostLine {
  return { what, aDay, unit, dollars: Math.round(aDay * price * appliances * days * 100) / 100 }
}
