import { bytesText, countText, durationText } from '../lib/quantity-text.ts'
import type { LogSourcePart, LogsPart } from './status-document.ts'
import { summedUp, type PartRows, type StatusRow } from './status-rows.ts'

/** Less goes by before a flush. */
const shownLagSeconds = 120

/** The logs as a whole, and below each source. */
export function logRows(logs: LogsPart, rows: PartRows): readonly StatusRow[] {
  const sources = logs.sources.map((source) => rows.part(`  ${source.stream}`, source, sourceText(source, logs.group)))
  return [rows.part('logs', logs, logsText(logs)), ...summedUp(sources, '  log sources')]
}

function logsText(logs: LogsPart): string {
  const { group, accepted, lost, lostBytes, leftOut, leftOutBytes, pendingBytes, gapsPending, catchingUp } = logs
  const notes = [
    `${accepted} accepted`,
    `${lost} lost${lostBytes === 0 ? '' : ` and ${bytesText(lostBytes)} never read`}`,
    ...(leftOut === 0 ? [] : [`${leftOut} left out`]),
    ...(leftOutBytes === 0 ? [] : [`${bytesText(leftOutBytes)} jumped over`]),
    ...(pendingBytes === 0 ? [] : [`${bytesText(pendingBytes)} waiting`]),
    ...(gapsPending === 0 ? [] : [`${countText(gapsPending, 'gap record')} waiting`]),
    ...(catchingUp ? ['catching up'] : []),
  ]
  return `${notes.join(', ')}, to ${group}`
}

function sourceText(source: LogSourcePart, group: string): string {
  const { name, positionBytes, sizeBytes, backlogBytes, lagSeconds } = source
  const unsent =
    backlogBytes ?? (positionBytes === undefined ? 0 : Math.max(0, (sizeBytes ?? positionBytes) - positionBytes))
  const notes = [
    ...(unsent === 0 ? [] : [`${bytesText(unsent)} waiting`]),
    ...(lagSeconds === undefined || lagSeconds < shownLagSeconds ? [] : [`${durationText(lagSeconds)} behind`]),
    ...(source.group === group ? [] : [`to ${source.group}`]),
  ]
  return notes.length === 0 ? name : `${name}: ${notes.join(', ')}`
}
