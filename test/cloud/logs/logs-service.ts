import {
  ServiceFault,
  type CloudRequest,
  type CloudResponse,
  type CloudService,
  type ServiceContext,
} from '../contract.ts'
import { evaluatePolicies } from '../iam/evaluate.ts'
import { ExtractedMetrics, type MetricFault, type StreamMetric } from './extracted-metrics.ts'
import { judgeBatch } from './log-batch-limits.ts'
import { describeLogGroups, describeLogStreams, filterLogEvents, getLogEvents } from './log-queries.ts'
import {
  createLogsAuthorizer,
  logGroupArn,
  logStreamArn,
  type AuthorizeLogs,
  type LogsHome,
} from './logs-authorization.ts'
import { formatLogsFault, jsonHeaders, proxyRefusal, unreadable } from './logs-faults.ts'
import { logsInputs, parseLogsInput, readLogsInput } from './logs-input.ts'
import { checkGroupName, checkNewGroupName, checkStreamName } from './logs-names.ts'
import {
  LogsStore,
  type AcceptedCounts,
  type BatchListener,
  type LogGroup,
  type LogStream,
  type StoredEvent,
} from './logs-store.ts'

export interface LogsServiceOptions extends LogsHome {
  /** The cloud's own time in milliseconds since 1970. */
  readonly now: () => number
  /** How much the store holds before it drops its oldest batches. Default 128 MiB. */
  readonly maxStoredBytes?: number
  readonly evaluate?: typeof evaluatePolicies
}

/** What an administrator sees and does. Names that are not there throw the service's ResourceNotFoundException. */
export interface LogsAdmin {
  readonly groups: () => readonly LogGroup[]
  readonly streams: (group: string) => readonly LogStream[]
  /** By timestamp; equal ones in the order of their arrival. */
  readonly events: (group: string, stream: string) => readonly StoredEvent[]
  readonly accepted: () => AcceptedCounts
  readonly createGroup: (group: string) => void
  readonly createStream: (group: string, stream: string) => void
  readonly deleteGroup: (group: string) => void
  readonly deleteStream: (group: string, stream: string) => void
  /** Events older than that are expired from now on; undefined for a group that keeps them for ever. */
  readonly setRetentionDays: (group: string, retentionDays: number | undefined) => void
  /** Streams made from now on are found only after that time, although they cannot be made again. 0 at first. */
  readonly setVisibleAfterMs: (visibleAfterMs: number) => void
  /** What CloudWatch would have made of events in the embedded metric format. */
  readonly metrics: () => readonly StreamMetric[]
  /** Events in that format that are not valid: stored, but no metrics. */
  readonly metricFaults: () => readonly MetricFault[]
  /** Requests with a Content-Encoding are refused from now on. Undefined, as at first: they are read. */
  readonly setCompressionRefused: (by: 'service' | 'proxy' | undefined) => void
  /** Tells of each batch from now on, in the order of arrival, until disposed. */
  readonly listen: (listener: BatchListener) => Disposable
}

/**
 * CloudWatch Logs in JSON 1.1: what an appliance calls, with the limits of the API reference, and the reading calls
 * that a test uses to see what arrived. Sequence tokens are ignored, as AWS ignores them since 2023.
 */
export function createLogsService(options: LogsServiceOptions): CloudService & LogsAdmin {
  const parts: ServiceParts = {
    ...options,
    store: new LogsStore({ now: options.now, maxStoredBytes: options.maxStoredBytes ?? 128 * 1_048_576 }),
    metrics: new ExtractedMetrics(),
    compression: { refusedBy: undefined },
  }
  return {
    name: 'logs',
    serves: (host) => host === 'logs.localhost',
    actionOf,
    handle: (request, context) => handle(request, context, parts),
    formatFault: formatLogsFault,
    ...createAdmin(parts),
  }
}

interface ServiceParts extends LogsServiceOptions {
  readonly store: LogsStore
  readonly metrics: ExtractedMetrics
  readonly compression: { refusedBy: 'service' | 'proxy' | undefined }
}

interface Call {
  readonly store: LogsStore
  readonly metrics: ExtractedMetrics
  readonly home: LogsHome
  readonly nowMs: number
  readonly authorize: AuthorizeLogs
}

type Operation = (input: unknown, call: Call) => object | undefined

const operations: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['CreateLogGroup', createLogGroup],
  ['CreateLogStream', createLogStream],
  ['PutLogEvents', putLogEvents],
  ['DescribeLogGroups', describeGroups],
  ['DescribeLogStreams', describeStreams],
  ['GetLogEvents', getEvents],
  ['FilterLogEvents', filterEvents],
])

function actionOf({ headers }: CloudRequest): string {
  return /^Logs_20140328\.(\w+)$/.exec(headers['x-amz-target'] ?? '')?.[1] ?? 'Unknown'
}

async function handle(request: CloudRequest, context: ServiceContext, parts: ServiceParts): Promise<CloudResponse> {
  const operation = request.method === 'POST' ? operations.get(actionOf(request)) : undefined
  if (operation === undefined) throw new ServiceFault(400, 'UnknownOperationException', 'The operation is not known.')
  const { refusedBy } = parts.compression
  if (refusedBy !== undefined && request.headers['content-encoding'] !== undefined) {
    if (refusedBy === 'proxy') return proxyRefusal
    throw unreadable('Content-Encoding is not supported.')
  }
  const output = operation(await readLogsInput(request), {
    store: parts.store,
    metrics: parts.metrics,
    home: { account: parts.account, region: parts.region },
    nowMs: parts.now(),
    authorize: createLogsAuthorizer(context, parts.evaluate ?? evaluatePolicies),
  })
  return { status: 200, headers: jsonHeaders(request), body: output === undefined ? '' : JSON.stringify(output) }
}

function createLogGroup(input: unknown, { store, home, authorize }: Call): undefined {
  const { logGroupName } = parseLogsInput(logsInputs.createLogGroup, input)
  authorize('CreateLogGroup', logGroupArn(home, logGroupName ?? ''))
  store.createGroup(checkNewGroupName(logGroupName))
}

function createLogStream(input: unknown, { store, home, authorize }: Call): undefined {
  const { logGroupName, logStreamName } = parseLogsInput(logsInputs.createLogStream, input)
  authorize('CreateLogStream', logStreamArn(home, logGroupName ?? '', logStreamName ?? ''))
  store.createStream(checkGroupName(logGroupName), checkStreamName(logStreamName))
}

function putLogEvents(input: unknown, { store, metrics, home, nowMs, authorize }: Call): object {
  const { logGroupName, logStreamName, logEvents } = parseLogsInput(logsInputs.putLogEvents, input)
  authorize('PutLogEvents', logStreamArn(home, logGroupName ?? '', logStreamName ?? ''))
  const [group, stream] = [checkGroupName(logGroupName), checkStreamName(logStreamName)]
  const { retentionDays } = store.group(group)
  store.stream(group, stream)
  const events = logEvents ?? []
  const { accepted, rejected } = judgeBatch(events, { nowMs, retentionDays })
  store.add(group, stream, { events: accepted, rejectedEvents: events.length - accepted.length })
  metrics.add({ group, stream }, { events: accepted, nowMs })
  return { nextSequenceToken: String(nowMs).padStart(56, '49'), rejectedLogEventsInfo: rejected }
}

function describeGroups(input: unknown, { store, home, authorize }: Call): object {
  authorize('DescribeLogGroups', logStreamArn(home, ''))
  return describeLogGroups(store, home, parseLogsInput(logsInputs.describeLogGroups, input))
}

function describeStreams(input: unknown, { store, home, authorize }: Call): object {
  const wanted = parseLogsInput(logsInputs.describeLogStreams, input)
  authorize('DescribeLogStreams', logStreamArn(home, wanted.logGroupName ?? ''))
  return describeLogStreams(store, home, wanted)
}

function getEvents(input: unknown, { store, home, authorize }: Call): object {
  const wanted = parseLogsInput(logsInputs.getLogEvents, input)
  authorize('GetLogEvents', logStreamArn(home, wanted.logGroupName ?? '', wanted.logStreamName ?? ''))
  return getLogEvents(store, wanted)
}

function filterEvents(input: unknown, { store, home, authorize }: Call): object {
  const wanted = parseLogsInput(logsInputs.filterLogEvents, input)
  authorize('FilterLogEvents', logStreamArn(home, wanted.logGroupName ?? ''))
  return filterLogEvents(store, wanted)
}

function createAdmin({ store, metrics, compression }: ServiceParts): LogsAdmin {
  return {
    metrics: () => metrics.metrics,
    metricFaults: () => metrics.faults,
    setCompressionRefused: (by) => {
      compression.refusedBy = by
    },
    groups: () => store.groups(),
    streams: (group) => store.streams(group),
    events: (group, stream) => store.events(group, stream),
    accepted: () => store.accepted,
    createGroup: (group) => {
      store.createGroup(checkNewGroupName(group))
    },
    createStream: (group, stream) => {
      store.createStream(group, checkStreamName(stream))
    },
    deleteGroup: (group) => {
      store.deleteGroup(group)
    },
    deleteStream: (group, stream) => {
      store.deleteStream(group, stream)
    },
    setRetentionDays: (group, retentionDays) => {
      store.setRetention(group, retentionDays)
    },
    setVisibleAfterMs: (visibleAfterMs) => {
      store.setVisibleAfterMs(visibleAfterMs)
    },
    listen: (listener) => store.listen(listener),
  }
}
