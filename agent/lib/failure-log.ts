import { AgentError, reportError } from './errors.ts'
import type { Log, LogFields } from './log.ts'
import { monotonicMs } from './monotonic.ts'

const repeatEveryMs = 600_000
const maxKinds = 16
/** Identifiers: a request id or a time in its text does not make a failure another one, a status code does. */
const varying = /\b(?=[\w-]*\d)[\w-]{6,}/g

interface Seen {
  count: number
  loggedAtMs: number
}

/**
 * Reports failures that may come back at every try: each in full once, then at most every 10 minutes with a count, and
 * once more when it is over. Two failures are the same when name and message
 * are, but for identifiers; some may alternate.
 */
export class FailureLog {
  readonly #log: Log
  readonly #seen = new Map<string, Seen>()

  constructor(log: Log) {
    this.#log = log
  }

  failed(message: string, error: unknown, fields: LogFields = {}): void {
    const { name, message: text } = reportError(error)
    const key = `${name}: ${text.replace(varying, '#')}`
    const seen = this.#seen.get(key)
    if (seen === undefined) {
      this.#remember(key)
      this.#write(message, error, fields)
      return
    }
    seen.count += 1
    if (monotonicMs() - seen.loggedAtMs < repeatEveryMs) return
    this.#write(message, error, { ...fields, repeated: seen.count })
    seen.count = 0
    seen.loggedAtMs = monotonicMs()
  }

  /** Says that the failure is over; nothing when there was none. */
  recovered(message: string, fields: LogFields = {}): void {
    if (this.#seen.size === 0) return
    this.#seen.clear()
    this.#log.info(message, fields)
  }

  #remember(key: string): void {
    const [oldest] = this.#seen.keys()
    if (this.#seen.size >= maxKinds && oldest !== undefined) this.#seen.delete(oldest)
    this.#seen.set(key, { count: 0, loggedAtMs: monotonicMs() })
  }

  #write(message: string, error: unknown, fields: LogFields): void {
    const needsPerson = error instanceof AgentError && !error.retryable
    this.#log[needsPerson ? 'error' : 'warn'](message, { ...fields, error })
  }
}
