import type { LogEvent } from './log-destination.ts'

export interface BatchLimits {
  /** Of the events together: UTF-8 bytes of each message plus `eventOverheadBytes`. */
  readonly maxBytes: number
  readonly maxEvents: number
  /** The newest event of a batch is less than this after its oldest. */
  readonly spanMs: number
}

/** What CloudWatch Logs adds to the size of each event ("PutLogEvents", API reference). */
export const eventOverheadBytes = 26

/** The limits of one batch, from "PutLogEvents" in the CloudWatch Logs API reference. */
export const putLogEventsLimits: BatchLimits = { maxBytes: 1_048_576, maxEvents: 10_000, spanMs: 86_400_000 }

/** The longest message the agent makes, in UTF-8 bytes: under 1 MB by either way of counting a megabyte. */
export const maxMessageBytes = 1_000_000

export interface UnsentEvent {
  /** Not empty, at most `maxMessageBytes`. */
  readonly message: string
  readonly messageBytes: number
  /** When it was read, on the monotonic clock. */
  readonly readAtMs: number
}

export interface LogBatch {
  /** Chronological; events of the same millisecond in the order that they were given in. */
  readonly events: readonly LogEvent[]
  /** How many unsent events it takes, from the front. */
  readonly taken: number
  /** As `BatchLimits.maxBytes` counts them. */
  readonly bytes: number
}

/**
 * The longest batch that keeps the limits, from the front of `unsent`; empty only when `unsent` is: one event goes
 * alone if it is longer than `maxBytes`. `timestampOf` turns reading times into milliseconds since 1970.
 */
export function nextBatch(
  unsent: readonly UnsentEvent[],
  timestampOf: (readAtMs: number) => number,
  limits: BatchLimits = putLogEventsLimits,
): LogBatch {
  const events: LogEvent[] = []
  let bytes = 0
  let oldestMs = Infinity
  let newestMs = -Infinity
  for (const { message, messageBytes, readAtMs } of unsent) {
    const timestampMs = timestampOf(readAtMs)
    const withThisBytes = bytes + messageBytes + eventOverheadBytes
    oldestMs = Math.min(oldestMs, timestampMs)
    newestMs = Math.max(newestMs, timestampMs)
    const tooMany = withThisBytes > limits.maxBytes || events.length === limits.maxEvents
    if (events.length > 0 && (tooMany || newestMs - oldestMs >= limits.spanMs)) break
    bytes = withThisBytes
    events.push({ timestampMs, message })
  }
  events.sort((one, other) => one.timestampMs - other.timestampMs)
  return { taken: events.length, bytes, events }
}
