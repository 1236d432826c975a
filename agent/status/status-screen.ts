import { cutText, visibleText, type Paint } from '../lib/terminal-text.ts'
import { durationText } from '../lib/quantity-text.ts'
import { statusRows } from './render-status.ts'
import { isUnprovisioned } from './render-unprovisioned.ts'
import type { StatusReport } from './status-document.ts'
import { rowLines, verdictLines } from './status-layout.ts'
import type { StatusRow } from './status-rows.ts'
import { transferLines, type Transfer } from './transfer-bars.ts'

export interface ScreenContent {
  /** What the agent told last, if it ever did. */
  readonly status: StatusReport | undefined
  readonly transfers: readonly Transfer[]
  /** While nobody answers. */
  readonly silence?: Silence | undefined
}

export interface Silence {
  readonly reason: string
  /** How long ago the agent told what is shown, or the looking began. */
  readonly seconds: number
}

export interface ScreenLayout {
  readonly width: number
  readonly height: number
  readonly paint: Paint
}

const maxTransfers = 6
const help = 'q ends'

/** The lines of a live view, no more than the height of the screen and none wider than it. What is not well comes before what is. */
export function screenLines({ status, transfers, silence }: ScreenContent, layout: ScreenLayout): readonly string[] {
  const { width, height, paint } = layout
  const top = [titleLine(status, layout), ...(silence === undefined ? [] : silenceLines(silence, layout))]
  if (status === undefined) return top.slice(0, height)
  const verdict = silence === undefined ? verdictLines(status, { width, paint }) : []
  const shown = silence === undefined ? transfers.slice(0, maxTransfers) : []
  const more = transfers.length - shown.length
  const bars = [
    ...shown.flatMap((each) => transferLines(each, width)),
    ...(silence !== undefined || more === 0 ? [] : [`... and ${more} more on their way`]),
  ]
  const above = [...top, ...verdict, '', ...bars, ...(bars.length === 0 ? [] : [''])].slice(0, height)
  return [...above, ...fitted(statusRows(status), height - above.length, layout)]
}

function titleLine(status: StatusReport | undefined, { width, paint }: ScreenLayout): string {
  const name = status === undefined || isUnprovisioned(status) ? 'panorama-agent' : visibleText(status.device.name)
  const time = status === undefined ? '' : `  ${status.clock.now.slice(0, 19).replace('T', ' ')} UTC`
  const title = cutText(`${name}${time}`, Math.max(0, width - help.length - 2))
  return paint('faint', cutText(`${title.padEnd(width - help.length)}${help}`, width))
}

function silenceLines({ reason, seconds }: Silence, { width, paint }: ScreenLayout): readonly string[] {
  return [
    paint('bad', cutText(`No answer: ${visibleText(reason)}`, width)),
    cutText(`It was stopped, or is starting again: asked every second for ${durationText(seconds)}. As it was:`, width),
  ]
}

/** Leaves parts out that are well, the last ones first, until it fits. */
function fitted(rows: readonly StatusRow[], height: number, { width, paint }: ScreenLayout): readonly string[] {
  let kept = rows
  let lines = rowLines(kept, { width, paint })
  if (lines.length <= height) return lines
  while (lines.length >= height) {
    const last = kept.findLast(({ isWell }) => isWell)
    if (last === undefined) break
    kept = kept.filter((each) => each !== last)
    lines = rowLines(kept, { width, paint })
  }
  const left = rows.length - kept.length
  const isCut = lines.length >= height
  const note = isCut ? '... panorama-agent status shows all' : `... and ${left} that are well`
  return [...lines.slice(0, Math.max(0, height - 1)), cutText(note, width)].slice(0, Math.max(0, height))
}
