import { reportError } from '../../agent/lib/errors.ts'
import type { LogFields, LogLevel, RootLog } from '../../agent/lib/log.ts'

/** A log for thousands at once: it remembers how often each text was logged with which error, and nothing else. */
export class CountingLog implements RootLog {
  readonly #counts = new Map<string, number>()

  /** By level, text and error: `warn: the appliance is not provisioned: RegisterThing: 429 ...`. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  debug(message: string, fields?: LogFields): void {
    this.#count('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#count('info', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#count('warn', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#count('error', message, fields)
  }

  child(): this {
    return this
  }

  setLevel(): void {
    // all is counted
  }

  #count(level: LogLevel, message: string, fields: LogFields = {}): void {
    const fault = fields['error']
    const text = `${level}: ${message}${fault === undefined ? '' : `: ${reportError(fault).message}`}`
    this.#counts.set(text, (this.#counts.get(text) ?? 0) + 1)
  }
}
