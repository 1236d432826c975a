import type { Log, LogFields, LogLevel } from '../../agent/lib/log.ts'

export interface RecordedEntry {
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields
}

/** A log that remembers what it was told. Children write into the memory of their parent. */
export class RecordingLog implements Log {
  readonly entries: RecordedEntry[]
  readonly #context: LogFields

  constructor(entries: RecordedEntry[] = [], context: LogFields = {}) {
    this.entries = entries
    this.#context = context
  }

  /** The texts at one level, in order. */
  messages(level: LogLevel): readonly string[] {
    return this.entries.filter((entry) => entry.level === level).map(({ message }) => message)
  }

  debug(message: string, fields?: LogFields): void {
    this.#add('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#add('info', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#add('warn', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#add('error', message, fields)
  }

  child(fields: LogFields): Log {
    return new RecordingLog(this.entries, { ...this.#context, ...fields })
  }

  #add(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.entries.push({ level, message, fields: { ...this.#context, ...fields } })
  }
}
