import { reportError, type ErrorReport } from '../lib/errors.ts'
import { backlogs } from './backlogs.ts'
import type { DeliveredSource, SourceProgress } from './delivered-source.ts'
import type { GapOutbox } from './delivery/gap-outbox.ts'
import type { LogTarget } from './log-destination.ts'
import type { LogSenders } from './delivery/log-senders.ts'
import type { LogStreamSender } from './delivery/log-stream-sender.ts'
import type { LogTotals } from './log-tally.ts'
import type { OwnLog } from './own-log.ts'
import { targetKey } from './target-key.ts'

/** How far one source is. Instants are on the monotonic clock. */
export interface LogSourceStatus {
  /** A path, or what else the source is called. */
  readonly name: string
  /** Of files. */
  readonly path?: string
  readonly group: string
  readonly stream: string
  readonly state: 'ok' | 'failing'
  /** Of the stream. */
  readonly sinceMs?: number
  /** While the stream is held back. */
  readonly nextAttemptMs?: number
  /** Of files: everything before it was accepted. */
  readonly positionBytes?: number
  readonly sizeBytes?: number
  /** What is there and not accepted, where the source knows. */
  readonly backlogBytes?: number
  /** How long ago the oldest event happened that was read and is not accepted; 0 when there is none. */
  readonly lagSeconds?: number
  /** Of the stream. */
  readonly lastAcceptedAtMs?: number
  readonly lastError?: ErrorReport
}

export interface LogStatus extends LogTotals {
  /** One per file or unit: a path has several while the rest of a rotated file is on its way. */
  readonly sources: readonly LogSourceStatus[]
  /** Bytes that are there and not accepted, the agent's own log included. */
  readonly pendingBytes: number
  /** Records of what is missing in a stream that have not arrived there. */
  readonly gapsPending: number
  /** Whether there is more to send than goes along with one batch of each stream. */
  readonly catchingUp: boolean
  /** What holds something up, by the names of its errors, each once. */
  readonly failures: readonly string[]
}

/** What one stream waits with. Instants are on the monotonic clock. */
export interface LogStreamStatus extends Pick<
  LogSourceStatus,
  'group' | 'stream' | 'state' | 'sinceMs' | 'nextAttemptMs' | 'lastAcceptedAtMs' | 'lagSeconds' | 'lastError'
> {
  /** Read and not accepted. */
  readonly events: number
  readonly bytes: number
  /** What is there at its sources and not accepted, what was read included, where they know. */
  readonly backlogBytes?: number
  /** Records of what is missing in it that have not arrived there. */
  readonly gapsPending: number
}

export interface WaitingParts {
  readonly sources: readonly DeliveredSource[]
  readonly senders: LogSenders
  readonly outbox: GapOutbox
  /** The stream of the agent's own log, and what of that is still in its ring. */
  readonly own: { readonly target: LogTarget; readonly log: OwnLog }
}

/** What waits for its upload, by stream. */
export function describeStreams({ sources, senders, outbox, own }: WaitingParts): readonly LogStreamStatus[] {
  const known = backlogs(sources)
  return senders.all.map((sender): LogStreamStatus => {
    const { target, queue, rest, length } = sender
    const isOwn = targetKey(target) === targetKey(own.target)
    const backlogBytes = known.get(targetKey(target))
    return {
      ...target,
      ...ofStream(sender),
      state: rest.lastError === undefined ? 'ok' : 'failing',
      ...(rest.lastError === undefined ? {} : { lastError: reportError(rest.lastError) }),
      events: length + (isOwn ? own.log.pendingLines : 0),
      bytes: queue.heldBytes + (isOwn ? own.log.pendingBytes : 0),
      ...(backlogBytes === undefined ? {} : { backlogBytes }),
      gapsPending: outbox.countOf(target),
    }
  })
}

/** What sources tell of themselves, with what is known of their streams. */
function describeSources(sources: readonly DeliveredSource[], senders: LogSenders): readonly LogSourceStatus[] {
  return sources
    .flatMap((source) => source.progress?.() ?? [])
    .map((progress) => describe(progress, senders.find(progress.target)))
}

/** All that is known of the upload. */
export function describeLogs(parts: WaitingParts, totals: LogTotals): Omit<LogStatus, 'failures'> {
  const { sources, senders, outbox } = parts
  return {
    sources: describeSources(sources, senders),
    ...totals,
    pendingBytes: pendingBytesOf(parts),
    gapsPending: outbox.length,
    catchingUp: senders.isCatchingUp,
  }
}

/** By the sources that know, of other streams what they hold. */
function pendingBytesOf({ sources, senders, own }: WaitingParts): number {
  const known = backlogs(sources)
  const unknown = senders.all.filter(({ target }) => !known.has(targetKey(target)))
  return (
    [...known.values()].reduce((sum, bytes) => sum + bytes, 0) +
    unknown.reduce((sum, { queue }) => sum + queue.heldBytes, 0) +
    own.log.pendingBytes
  )
}

function describe(progress: SourceProgress, sender: LogStreamSender | undefined): LogSourceStatus {
  const { target, lastError, ...position } = progress
  const error = lastError ?? sender?.rest.lastError
  return {
    ...position,
    ...target,
    ...(position.positionBytes === undefined ? {} : { path: position.name }),
    state: error === undefined ? 'ok' : 'failing',
    ...(error === undefined ? {} : { lastError: reportError(error) }),
    ...(sender === undefined ? {} : ofStream(sender)),
  }
}

function ofStream({ rest, queue, lastAcceptedAtMs }: LogStreamSender): Partial<LogSourceStatus> {
  const { sinceMs, nextAttemptMs } = rest
  return {
    sinceMs,
    lagSeconds: Math.round(queue.lagMs / 1_000),
    ...(nextAttemptMs === undefined ? {} : { nextAttemptMs }),
    ...(lastAcceptedAtMs === undefined ? {} : { lastAcceptedAtMs }),
  }
}
