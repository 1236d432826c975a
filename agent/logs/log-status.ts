import { reportError, type ErrorReport } from '../lib/errors.ts'
import type { DeliveredSource, SourceProgress } from './delivered-source.ts'
import type { LogSenders } from './log-senders.ts'
import type { LogStreamSender } from './log-stream-sender.ts'
import type { LogTotals } from './log-tally.ts'
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
}

/** What sources tell of themselves, with what is known of their streams. */
export function describeSources(sources: readonly DeliveredSource[], senders: LogSenders): readonly LogSourceStatus[] {
  return sources
    .flatMap((source) => source.progress?.() ?? [])
    .map((progress) => describe(progress, senders.find(progress.target)))
}

/** By stream, of the sources that know. */
export function backlogs(sources: readonly DeliveredSource[]): ReadonlyMap<string, number> {
  const bytes = new Map<string, number>()
  for (const { target, backlogBytes } of sources.flatMap((source) => source.progress?.() ?? [])) {
    const key = targetKey(target)
    if (backlogBytes !== undefined) bytes.set(key, (bytes.get(key) ?? 0) + backlogBytes)
  }
  return bytes
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
