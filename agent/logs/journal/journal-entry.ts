import { printableText } from '../events/printable-text.ts'
import type { JournalPosition } from './journal-position.ts'

/** What the agent uses of a journal entry (systemd.journal-fields(7)). */
export interface JournalEntry {
  readonly position: JournalPosition
  /** Printable; undefined or empty when there is nothing to tell. */
  readonly message: string | undefined
  /** 0 (emergency) to 7 (debug). */
  readonly priority: number | undefined
  /** The unit whose process wrote it. */
  readonly unit: string | undefined
  /** The unit that systemd itself writes about. */
  readonly aboutUnit: string | undefined
  readonly transport: string | undefined
  readonly identifier: string | undefined
  readonly pid: string | undefined
}

/** What journalctl is asked for; it adds cursor, times and boot by itself. */
export const journalFields = ['MESSAGE', 'PRIORITY', '_SYSTEMD_UNIT', 'UNIT', '_TRANSPORT', 'SYSLOG_IDENTIFIER', '_PID']

const leftOut = '[journalctl left this message out because of its length]'

/**
 * Reads a line of `journalctl -o json`. A field is a string, null when it was too long, an array of byte numbers when it is not printable,
 * or an array of those when it stands several times in the entry. Answers undefined for what is not an entry.
 */
export function parseJournalEntry(line: string): JournalEntry | undefined {
  const fields = parseObject(line)
  if (fields === undefined) return undefined
  const position = positionOf(fields)
  if (position === undefined) return undefined
  const pid = textOf(fields['_PID'])
  const priority = Number(textOf(fields['PRIORITY']) ?? Number.NaN)
  return {
    position,
    message: fields['MESSAGE'] === null ? leftOut : allTextOf(fields['MESSAGE']),
    priority: Number.isInteger(priority) ? priority : undefined,
    unit: textOf(fields['_SYSTEMD_UNIT']),
    aboutUnit: pid === '1' ? textOf(fields['UNIT']) : undefined,
    transport: textOf(fields['_TRANSPORT']),
    identifier: textOf(fields['SYSLOG_IDENTIFIER']),
    pid,
  }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function positionOf(fields: Readonly<Record<string, unknown>>): JournalPosition | undefined {
  const [cursor, bootId] = [textOf(fields['__CURSOR']), textOf(fields['_BOOT_ID'])]
  const [monotonicUs, realtimeUs] = [Number(fields['__MONOTONIC_TIMESTAMP']), Number(fields['__REALTIME_TIMESTAMP'])]
  const isWhole = Number.isSafeInteger(monotonicUs) && Number.isSafeInteger(realtimeUs)
  if (cursor === undefined || !/^[\x21-\x7e]{1,512}$/.test(cursor)) return undefined
  if (bootId === undefined || !/^[0-9a-f]{32}$/.test(bootId) || !isWhole) return undefined
  return { cursor, bootId, monotonicUs, realtimeUs }
}

/** The field, or the first of several. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return printableText(value)
  if (!Array.isArray(value)) return undefined
  const values: readonly unknown[] = value
  const bytes = values.filter((byte) => typeof byte === 'number')
  return bytes.length === values.length ? printableText(Buffer.from(bytes).toString('utf8')) : textOf(values[0])
}

/** Several values are told one below the other. */
function allTextOf(value: unknown): string | undefined {
  const values: readonly unknown[] = Array.isArray(value) ? value : []
  if (values.every((one) => typeof one === 'number')) return textOf(value)
  return values.map((one) => textOf(one) ?? '').join('\n')
}
