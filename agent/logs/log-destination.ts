import type { AgentError } from '../lib/errors.ts'

/** Where events go: names within the patterns of CloudWatch Logs (group `[\w./#-]{1,512}`, stream `[^:*]{1,512}`). */
export interface LogTarget {
  readonly group: string
  readonly stream: string
}

export interface LogEvent {
  /** Milliseconds since 1970, an integer, on the cloud's clock. */
  readonly timestampMs: number
  /** Not empty. */
  readonly message: string
}

/** Events, each asked for by its place. */
export interface EventColumns {
  readonly length: number
  timestampMs(index: number): number
  /** Of the message in UTF-8. */
  messageBytes(index: number): number
  message(index: number): string
  /** Where the message is, as ASCII without control characters but tabs; undefined where it is a string. */
  slab(index: number): EventSlab | undefined
  slabStart(index: number): number
}

/** Memory with messages in it. */
export interface EventSlab {
  readonly bytes: Buffer
  /** Whether nothing in it is to be escaped in JSON. */
  readonly isVerbatim: boolean
}

/** The events of a batch in their order. Those that come in columns are cheaper to take from there. */
export interface LogEvents extends Iterable<LogEvent> {
  readonly length: number
  readonly columns?: EventColumns | undefined
}

/** Events of a batch that were refused for their time; each counts once. The others of the batch are stored. */
export interface RejectedEvents {
  /** Older than the service takes (14 days). */
  readonly tooOld: number
  /** More than two hours ahead. */
  readonly tooNew: number
  /** Older than the group keeps events. */
  readonly expired: number
}

export type PutOutcome =
  | { readonly kind: 'accepted'; readonly rejected: RejectedEvents }
  /** The stream, or its group, is not there; nothing was stored. */
  | { readonly kind: 'no-stream' }
  /** The connection broke, so that a smaller batch might have come through; whether this one did is unknown. */
  | { readonly kind: 'cut-short'; readonly error: AgentError }
  /** Nothing was stored, and this batch never will be as it is: an event in it is at fault. */
  | { readonly kind: 'refused'; readonly error: AgentError }

/**
 * A store of log events, in streams that belong to groups.
 *
 * Every method may be called again after a failure, and for different streams at once. When `signal` aborts they
 * reject soon; whether the work was done is then unknown. Failures are AgentErrors, `retryable` where the same call
 * can succeed later by itself.
 */
export interface LogDestination {
  /**
   * Stores one batch. The caller keeps the limits of PutLogEvents (see log-batch.ts) and has one call in flight per
   * stream. Not idempotent: a batch that is put twice is stored twice. `accepted` means stored for good. Throws a
   * DeadlineError when time ran out, after which a smaller batch may come through as well. The events are read before the
   * first wait: their slabs are good as long as the caller waits for the outcome, and no longer.
   */
  put(target: LogTarget, events: LogEvents, signal: AbortSignal): Promise<PutOutcome>
  /** Idempotent. */
  createStream(target: LogTarget, signal: AbortSignal): Promise<'created' | 'exists' | 'no-group'>
  /** Idempotent. */
  createGroup(group: string, signal: AbortSignal): Promise<'created' | 'exists'>
}
