import winston from 'winston'
import Transport from 'winston-transport'

import { reportError } from './errors.ts'
import { redactField, redactText } from './redact.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Values are shown as they are; an Error shows its report; names that smell of secrets show `[redacted]`. */
export type LogFields = Readonly<Record<string, unknown>>

/**
 * Constant text, then fields. debug = per item; info = start, stop, a pass that changed something; warn = odd, nothing
 * lost; error = something was lost, or a person is needed.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log that adds `fields` to every line. `worker` is shown in front of the text. */
  child(fields: LogFields): Log
}

/** The log that all others are children of. */
export interface RootLog extends Log {
  /** Takes effect at once, for its children as well. */
  setLevel(level: LogLevel): void
}

/** One finished line, already redacted, without a line break at its end. */
export interface LogLine {
  readonly level: LogLevel
  readonly text: string
}

export interface LogOptions {
  readonly level: LogLevel
  /** Each gets every line at or above `level`. A sink must not throw and must not wait. */
  readonly sinks: readonly ((line: LogLine) => void)[]
}

/** The only place that knows what a log line looks like: `<ISO time> <LEVEL> <worker>: <text> key=value ...`. */
export function createLog({ level, sinks }: LogOptions): RootLog {
  const logger = winston.createLogger({ level, levels: { error: 0, warn: 1, info: 2, debug: 3 } })
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston types its transports twice
  logger.add(new SinkTransport(sinks))
  const setLevel = (newLevel: LogLevel): void => {
    logger.level = newLevel
  }
  return { ...wrap(logger, {}), setLevel }
}

/** A sink that writes lines to a stream, for the journal or a terminal. */
export function streamSink(stream: NodeJS.WritableStream): (line: LogLine) => void {
  return (line) => {
    stream.write(`${line.text}\n`)
  }
}

function wrap(logger: winston.Logger, context: LogFields): Log {
  const write =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      // winston builds the line first and drops it then
      if (logger.isLevelEnabled(level)) logger.log({ level, message, fields: { ...context, ...fields } })
    }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => wrap(logger, { ...context, ...fields }),
  }
}

class SinkTransport extends Transport {
  private readonly sinks: readonly ((line: LogLine) => void)[]

  constructor(sinks: readonly ((line: LogLine) => void)[]) {
    super()
    this.sinks = sinks
  }

  override log(entry: { level: LogLevel; message: string; fields: LogFields }, done: () => void): void {
    const line = { level: entry.level, text: formatLine(entry) }
    for (const sink of this.sinks) sink(line)
    done()
  }
}

function formatLine({ level, message, fields }: { level: LogLevel; message: string; fields: LogFields }): string {
  const { worker, ...rest } = fields
  const source = typeof worker === 'string' ? `${worker}: ` : ''
  const shown = Object.entries(rest).flatMap(([key, value]) => formatField(key, value))
  const line = [new Date().toISOString(), level.toUpperCase().padEnd(5), `${source}${message}`, ...shown].join(' ')
  return line.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ') // whatever stands in a text or a name, it cannot forge a line
}

function formatField(key: string, value: unknown): readonly string[] {
  if (value === undefined) return []
  if (value instanceof Error) {
    const { name, message, hint } = reportError(value)
    return [`${key}=${quote(`${name}: ${message}`)}`, ...(hint === undefined ? [] : [`hint=${quote(hint)}`])]
  }
  return [`${key}=${quote(redactField(key, value))}`]
}

function quote(value: unknown): string {
  const text = shownText(value)
  return /^[^\s"=\p{C}]+$/u.test(text) ? text : JSON.stringify(text)
}

/** Never throws: a value that JSON cannot hold must not cost the line, nor the work that logs it. */
function shownText(value: unknown): string {
  try {
    const json = (): string => JSON.stringify(value, (name, inner: unknown) => plain(redactField(name, inner)))
    return redactText(typeof value === 'string' ? value : json())
  } catch {
    return '[cannot be shown]'
  }
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return reportError(value)
  return typeof value === 'bigint' ? value.toString() : value
}
