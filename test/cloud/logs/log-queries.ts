import { createHash } from 'node:crypto'

import type { z } from 'zod'

import { logGroupArn, logStreamArn, type LogsHome } from './logs-authorization.ts'
import { brokenConstraint, invalidParameter } from './logs-faults.ts'
import type { logsInputs } from './logs-input.ts'
import { checkGroupName, checkStreamName } from './logs-names.ts'
import type { LogsStore, LogStream, StoredEvent } from './logs-store.ts'

type Input<Name extends keyof typeof logsInputs> = z.infer<(typeof logsInputs)[Name]>

const maxDescribed = 50
const maxEvents = 10_000

/** DescribeLogGroups: by name, 50 at most a page. */
export function describeLogGroups(store: LogsStore, home: LogsHome, input: Input<'describeLogGroups'>): object {
  const prefix = input.logGroupNamePrefix ?? ''
  const matching = store.groups().filter(({ name }) => name.startsWith(prefix))
  const page = pageOf(matching, input, maxDescribed)
  const logGroups = page.items.map(({ name, createdAtMs, retentionDays }) => ({
    logGroupName: name,
    creationTime: createdAtMs,
    retentionInDays: retentionDays,
    metricFilterCount: 0,
    arn: `${logGroupArn(home, name)}:*`,
    logGroupArn: logGroupArn(home, name),
    storedBytes: 0,
    logGroupClass: 'STANDARD',
  }))
  return { logGroups, nextToken: page.nextToken }
}

/** DescribeLogStreams: by name, or by the time of the last event, which excludes a prefix. */
export function describeLogStreams(store: LogsStore, home: LogsHome, input: Input<'describeLogStreams'>): object {
  const group = checkGroupName(input.logGroupName)
  const byTime = input.orderBy === 'LastEventTime'
  if (byTime && input.logStreamNamePrefix) {
    throw invalidParameter('Cannot order by LastEventTime with a logStreamNamePrefix.')
  }
  const prefix = input.logStreamNamePrefix ?? ''
  const matching = store.streams(group).filter(({ name }) => name.startsWith(prefix))
  const ordered = byTime ? matching.toSorted((a, b) => (a.lastEventMs ?? 0) - (b.lastEventMs ?? 0)) : matching
  const page = pageOf(input.descending === true ? ordered.toReversed() : ordered, input, maxDescribed)
  const logStreams = page.items.map((stream) => describeStream(stream, logStreamArn(home, group, stream.name)))
  return { logStreams, nextToken: page.nextToken }
}

/**
 * GetLogEvents: the latest events that fit, or the first ones from the head, in order of time. Both tokens are always
 * there; one that leads nowhere gives itself back.
 */
export function getLogEvents(store: LogsStore, input: Input<'getLogEvents'>): object {
  const events = store
    .events(checkGroupName(input.logGroupName), checkStreamName(input.logStreamName))
    .filter(within(input, (timestamp, endTime) => timestamp < endTime))
  const limit = checkLimit(input.limit, maxEvents)
  const window = windowOf(events.length, limit, input)
  return {
    events: events.slice(window.start, window.end).map(outputEvent),
    nextForwardToken: `f/${window.end}`,
    nextBackwardToken: `b/${window.start}`,
  }
}

/** FilterLogEvents over some or all streams of a group; of patterns it knows terms, which must all be there. */
export function filterLogEvents(store: LogsStore, input: Input<'filterLogEvents'>): object {
  const group = checkGroupName(input.logGroupName)
  if (input.logStreamNames && input.logStreamNamePrefix) {
    throw invalidParameter('logStreamNames and logStreamNamePrefix cannot be given together.')
  }
  const prefix = input.logStreamNamePrefix ?? ''
  const names = input.logStreamNames ?? store.streams(group).map(({ name }) => name)
  const terms = parseTerms(input.filterPattern ?? '')
  const matching = names
    .filter((name) => name.startsWith(prefix))
    .flatMap((name) => store.events(group, name).map((event, index) => ({ name, index, ...event })))
    .filter(within(input, (timestamp, endTime) => timestamp <= endTime))
    .filter(({ message }) => terms.every((term) => message.includes(term)))
    .sort((a, b) => a.timestamp - b.timestamp)
  const page = pageOf(matching, input, maxEvents)
  const events = page.items.map((event) => ({
    ...outputEvent(event),
    logStreamName: event.name,
    eventId: eventId(group, event),
  }))
  return { events, searchedLogStreams: [], nextToken: page.nextToken }
}

function describeStream(stream: LogStream, arn: string): object {
  return {
    logStreamName: stream.name,
    creationTime: stream.createdAtMs,
    firstEventTimestamp: stream.firstEventMs,
    lastEventTimestamp: stream.lastEventMs,
    lastIngestionTime: stream.lastIngestedAtMs,
    arn,
    storedBytes: 0,
  }
}

function outputEvent({ timestamp, message, ingestedAtMs }: StoredEvent): object {
  return { timestamp, message, ingestionTime: ingestedAtMs }
}

function within(
  {
    startTime,
    endTime,
  }: { readonly startTime?: number | null | undefined; readonly endTime?: number | null | undefined },
  isBeforeEnd: (timestamp: number, endTime: number) => boolean,
): (event: StoredEvent) => boolean {
  return ({ timestamp }) => timestamp >= (startTime ?? 0) && isBeforeEnd(timestamp, endTime ?? Infinity)
}

/** Where a GetLogEvents page lies: an explicit token wins over startFromHead. */
function windowOf(
  count: number,
  limit: number,
  { nextToken, startFromHead }: Pick<Input<'getLogEvents'>, 'nextToken' | 'startFromHead'>,
): { readonly start: number; readonly end: number } {
  const at = nextToken ? readIndex(nextToken, /^[fb]\/(\d+)$/) : undefined
  const forward = nextToken ? nextToken.startsWith('f') : startFromHead === true
  const edge = Math.min(at ?? (forward ? 0 : count), count)
  return forward ? { start: edge, end: Math.min(edge + limit, count) } : { start: Math.max(edge - limit, 0), end: edge }
}

function pageOf<T>(
  items: readonly T[],
  { limit, nextToken }: { readonly limit?: number | null | undefined; readonly nextToken?: string | null | undefined },
  maxLimit: number,
): { readonly items: readonly T[]; readonly nextToken: string | undefined } {
  const start = nextToken ? readIndex(nextToken, /^n\/(\d+)$/) : 0
  const end = start + checkLimit(limit, maxLimit)
  return { items: items.slice(start, end), nextToken: end < items.length ? `n/${end}` : undefined }
}

function checkLimit(limit: number | null | undefined, maxLimit: number): number {
  const wanted = limit ?? maxLimit
  if (wanted < 1) throw brokenConstraint(String(wanted), 'limit', 'Member must have value greater than or equal to 1')
  if (wanted <= maxLimit) return wanted
  throw brokenConstraint(String(wanted), 'limit', `Member must have value less than or equal to ${maxLimit}`)
}

function readIndex(token: string, pattern: RegExp): number {
  const digits = pattern.exec(token)?.[1]
  if (digits === undefined) throw invalidParameter('The specified nextToken is invalid.')
  return Number(digits)
}

function parseTerms(pattern: string): readonly string[] {
  if (/[{}[\]?%]|(^|\s)-/.test(pattern)) throw invalidParameter('Invalid filter pattern: only terms are known here.')
  return [...pattern.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
}

function eventId(group: string, event: StoredEvent & { readonly name: string; readonly index: number }): string {
  const parts = [group, event.name, event.index, event.timestamp, event.ingestedAtMs]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 56)
}
