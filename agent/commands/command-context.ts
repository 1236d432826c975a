import type { ServiceEnvironment } from '../service.ts'

/** What a command gets from main. */
export interface CommandContext {
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal
  readonly stdout: NodeJS.WritableStream
  /** For what is no result: progress. */
  readonly stderr: NodeJS.WritableStream
  readonly service: ServiceEnvironment
  /** Calls `listener` at each SIGHUP from now on; without a listener that signal ends the process. */
  readonly onHangup: (listener: () => void) => void
}
