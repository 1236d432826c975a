export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Told how far its events got: `position` is the one that the accepted event came with. Events are accepted in the order they were offered in. */
export interface EventOrigin {
  accepted(position: number): void
}

/** One event on its way from a source to its stream. */
export interface SourceEvent {
  /** Printable, not empty, at most `maxMessageBytes` in UTF-8. */
  readonly message: string
  /** Of the message in UTF-8. */
  readonly messageBytes: number
  /** On the monotonic clock (`monotonicMs`): when it was written, where the source knows that, else when it was read. */
  readonly atMs: number
  /** Milliseconds since 1970 by the device's clock, where the event states its time; counts before `atMs` then. */
  readonly statedMs: number | undefined
  /** The device's clock minus the monotonic clock when the event was written; undefined when it was written before this start or in another boot, so that its stated time cannot be mended. */
  readonly wallOffsetMs: number | undefined
  readonly level: LogLevel | undefined
  readonly origin: EventOrigin | undefined
  /** In the source, right after the event; opaque to all but the origin. */
  readonly position: number
}
