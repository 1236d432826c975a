import type { GapRecord, LogSource } from './log-source.ts'
import type { LogTarget } from './log-destination.ts'
import type { LogPositions } from './log-cursors.ts'

/** How far a source is with one file, unit or folder. */
export interface SourceProgress {
  /** What people know it by: a path, a unit. */
  readonly name: string
  readonly target: LogTarget
  /** Of files: everything before it was accepted. */
  readonly positionBytes?: number
  readonly sizeBytes?: number
  /** Bytes that are there and not accepted, where the source knows. */
  readonly backlogBytes?: number
  readonly lastError?: unknown
}

/** A source with what the worker can use besides, of those that can tell. */
export interface DeliveredSource extends LogSource {
  /** One per file, unit or folder. */
  progress?(): readonly SourceProgress[]
  /** Where to go on after a restart, saved together with the gap records. */
  readonly positions?: Partial<LogPositions>
  /** Whether the agent's own log is among its events: while it is healthy, that is not sent from memory as well. */
  readonly coversOwnLog?: boolean
  /** Whether that may come to be: what was logged a moment ago is not sent from memory yet. */
  readonly mayCoverOwnLog?: boolean
  /** Whether what happens now is among what it reads now, not after a backlog. */
  readonly isHealthy?: boolean
}

/** What a source is made with. */
export interface LogSourceContext {
  /** What was saved. */
  readonly positions: LogPositions
  /** To be called in the same turn in which the source's position moves past what is missing. */
  readonly onGap: (gap: GapRecord) => void
  /** The cloud's time in milliseconds since 1970. */
  readonly cloudNow: () => number
  /** What happened before is left out, in milliseconds since 1970; undefined while the clocks that tell so are in doubt. */
  readonly oldestMs: () => number | undefined
}
