import { durationText } from '../lib/quantity-text.ts'
import type { ClockPart } from './status-document.ts'
import { row, type PartRows, type StatusRow } from './status-rows.ts'

/** The time, how sure it is, and how far the system clock is from it. */
export function clockRow(clock: ClockPart, rows: PartRows): StatusRow {
  return row('clock', clock.known ? 'known' : 'unconfirmed', text(clock, rows))
}

/** How the system clock is against the cloud's, such as `2 h behind`. */
export function clockText(offsetSeconds: number): string {
  return `${durationText(Math.abs(offsetSeconds))} ${offsetSeconds > 0 ? 'behind' : 'ahead'}`
}

function text({ now, offsetSeconds, known, lastStep }: ClockPart, rows: PartRows): string {
  const time = `${now.slice(0, 19).replace('T', ' ')} UTC${known ? '' : ', no server has told the time yet'}`
  if (offsetSeconds === 0) return time
  const step =
    lastStep === undefined ? '' : `, setting it: ${lastStep.result}, ${lastStep.code} (${rows.age(lastStep.at)} ago)`
  return `${time}, the system clock is ${clockText(offsetSeconds)}${step}`
}
