import type { LogLevel } from './source-event.ts'

const levels: Readonly<Record<string, LogLevel>> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  WARNING: 'warn',
  ERROR: 'error',
  FATAL: 'error',
  CRITICAL: 'error',
}
const word = /\b(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b/

/** The level that a line names in its first 200 characters, in capitals; undefined when it names none. */
export function detectLevel(message: string): LogLevel | undefined {
  return levels[word.exec(message.slice(0, 200))?.[1] ?? '']
}
