import type { ServiceEnvironment } from '../composition/service.ts'

/** How the output can be made for a person who looks at it. */
export interface TerminalContext {
  /** Whether colours are wanted: a terminal, and no NO_COLOR (no-color.org). */
  readonly hasColours: boolean
  /** Whether the cursor can be moved: a terminal that is not a dumb one. */
  readonly isScreen: boolean
  /** What is typed. Opened when it is first asked for. */
  readonly input: () => NodeJS.ReadStream
}

/** What a command gets from main. */
export interface CommandContext {
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal
  readonly stdout: NodeJS.WritableStream
  /** For what is no result: progress. */
  readonly stderr: NodeJS.WritableStream
  /** Default: no terminal. */
  readonly terminal?: TerminalContext
  readonly service: ServiceEnvironment
  /** Calls `listener` at each SIGHUP from now on; without a listener that signal ends the process. */
  readonly onHangup: (listener: () => void) => void
}
