import type { LogTarget } from './log-destination.ts'
import type { SourceEvent } from './events/source-event.ts'

/** Where the events of one stream go. */
export interface EventSink {
  /** Whether it holds all it may: nothing more is to be offered now. */
  readonly isFull: boolean
  /** About how much it takes before it is full, where it knows. */
  readonly roomBytes?: number
  offer(event: SourceEvent): void
}

/** The sinks of all streams, made when they are first asked for. */
export interface EventSinks {
  of(target: LogTarget): EventSink
}

/** What was lost or left out of a source. */
export interface GapRecord {
  readonly target: LogTarget
  readonly source: string
  readonly reason: 'rotated' | 'vacuumed' | 'too far behind' | 'level' | 'dropped' | 'refused'
  readonly bytes?: number
  readonly lines?: number
  /** Cloud time, milliseconds since 1970. */
  readonly firstMs?: number
  readonly lastMs?: number
}

/** A source of log events, read ahead of what was accepted, in bounded memory. Methods are not called side by side. */
export interface LogSource extends AsyncDisposable {
  /** Reads what there is and what the sinks take, and returns; never waits for new lines. `beat` after each piece of work. Failures of one file or stream are kept for `failures`, not thrown. */
  read(sinks: EventSinks, pass: { readonly signal: AbortSignal; readonly beat: () => void }): Promise<void>
  /** Whether `read` left something for want of room in a sink. */
  readonly hasMore: boolean
  /** The streams that it feeds, so that the others can be forgotten. */
  readonly targets: readonly LogTarget[]
  /** What does not work now, one entry per file, folder or unit. */
  failures(): readonly { readonly what: string; readonly error: unknown }[]
}
