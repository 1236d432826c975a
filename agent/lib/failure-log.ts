import { AgentError, reportError } from './errors.ts'
import type { Log, LogFields } from './log.ts'
import { monotonicMs } from './monotonic.ts'

const repeatEveryMs = 600_000

/**
 * Reports a failure that may come back at every try: in full once, then at most every 10 minutes with a count, and
 * once more when it is over. Two failures are the same when name and message are.
 */
export class FailureLog {
  readonly #log: Log
  #current: { readonly key: string; count: number; loggedAtMs: number } | undefined

  constructor(log: Log) {
    this.#log = log
  }

  failed(message: string, error: unknown, fields: LogFields = {}): void {
    const { name, message: text } = reportError(error)
    const key = `${name}: ${text}`
    if (this.#current?.key !== key) {
      this.#current = { key, count: 0, loggedAtMs: monotonicMs() }
      this.#write(message, error, fields)
      return
    }
    this.#current.count += 1
    if (monotonicMs() - this.#current.loggedAtMs < repeatEveryMs) return
    this.#write(message, error, { ...fields, repeated: this.#current.count })
    this.#current.count = 0
    this.#current.loggedAtMs = monotonicMs()
  }

  /** Says that the failure is over; nothing when there was none. */
  recovered(message: string, fields: LogFields = {}): void {
    if (this.#current === undefined) return
    this.#current = undefined
    this.#log.info(message, fields)
  }

  #write(message: string, error: unknown, fields: LogFields): void {
    const needsPerson = error instanceof AgentError && !error.retryable
    this.#log[needsPerson ? 'error' : 'warn'](message, { ...fields, error })
  }
}
