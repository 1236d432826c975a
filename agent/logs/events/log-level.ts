import type { LogLevel } from './source-event.ts'

const levels: Readonly<Record<string, LogLevel>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  notice: 'info',
  warn: 'warn',
  warning: 'warn',
  err: 'error',
  error: 'error',
  crit: 'error',
  critical: 'error',
  fatal: 'error',
}
const names = Object.keys(levels).join('|')
const field = new RegExp(`\\b(?:level|severity|lvl)"?\\s*[=:]\\s*(?:"?(${names})\\b|(\\d0)\\b)`, 'i')
const capitals = new RegExp(`(?<![\\w-])(${names.toUpperCase()})(?![\\w-])`)
const marked = new RegExp(`[[<(](${names})[\\])>]|^\\W*(${names}):`, 'i')
/** Of glog (`W0214 11:53:09`), of `[W]`, and of logcat (`W/tag`). */
const letter = /^([DIWEF])(?:\d{4} |\/)|\[([TDIWEF])\]/
const ofLetter: Readonly<Record<string, LogLevel>> = {
  T: 'debug',
  D: 'debug',
  I: 'info',
  W: 'warn',
  E: 'error',
  F: 'error',
}

/**
 * The level that a message states near its beginning: a field (`"level":"warn"`, `level=warn`, `"level":40` as pino
 * counts), a name in capitals, in brackets, or before a colon at the very start, or a letter as `[W]` or glog's `W0214`.
 * Undefined when it states none. Meant for messages that a decision is made about, not for every one.
 */
export function detectLevel(message: string): LogLevel | undefined {
  const start = message.slice(0, 80)
  const [, name, number] = field.exec(start) ?? []
  if (number !== undefined) return ofNumber(Number(number))
  const [, inCapitals] = capitals.exec(start) ?? []
  const [, inBrackets, beforeColon] = marked.exec(start) ?? []
  const found = name ?? inCapitals ?? inBrackets ?? beforeColon
  if (found !== undefined) return levels[found.toLowerCase()]
  const [, first, bracketed] = letter.exec(start) ?? []
  return ofLetter[first ?? bracketed ?? '']
}

function ofNumber(level: number): LogLevel | undefined {
  if (level < 10 || level > 60) return undefined
  if (level <= 20) return 'debug'
  if (level === 30) return 'info'
  return level === 40 ? 'warn' : 'error'
}
