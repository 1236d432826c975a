/** What a command gets from main. */
export interface CommandContext {
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal
  readonly stdout: NodeJS.WritableStream
}
