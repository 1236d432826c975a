import { bytesText, durationText } from '../lib/quantity-text.ts'
import { cutText, visibleText } from '../lib/terminal-text.ts'
import type { DrainProgress } from './log-drain.ts'
import { isUnprovisioned } from './render-unprovisioned.ts'
import type { StatusReport } from './status-document.ts'

/** Something that is on its way, and how far it is. */
export interface Transfer {
  /** Such as `artifact model: downloading`. */
  readonly what: string
  readonly bytes: number
  readonly totalBytes: number
  readonly bytesPerSecond?: number | undefined
  readonly remainingSeconds?: number | undefined
}

const widestBar = 70

/** Downloads and verifications of artifacts, and the backlog of logs, if any. */
export function transfersOf(status: StatusReport, drain: DrainProgress | undefined): readonly Transfer[] {
  if (isUnprovisioned(status)) return []
  const ofArtifacts = status.artifacts.flatMap(({ name, phase, progress, verification }): readonly Transfer[] => [
    ...(progress === undefined ? [] : [{ what: `artifact ${name}: ${phase}`, ...progress }]),
    ...(verification === undefined ? [] : [{ what: `artifact ${name}: verifying`, ...verification }]),
  ])
  return [...ofArtifacts, ...(drain === undefined ? [] : [drainTransfer(drain)])]
}

/** Whole percent, 100 only when all is there. */
export function percentOf({ bytes, totalBytes }: Transfer): number {
  if (bytes >= totalBytes) return 100
  return Math.min(99, Math.max(0, Math.floor((100 * bytes) / totalBytes)))
}

/** `artifact model: downloading 400 MB of 2.7 GB, 3.4 MB/s, 11 min left` */
export function transferText({ what, bytes, totalBytes, bytesPerSecond, remainingSeconds }: Transfer): string {
  return [
    `${visibleText(what)} ${bytesText(bytes)} of ${bytesText(totalBytes)}`,
    ...(bytesPerSecond === undefined ? [] : [`${bytesText(bytesPerSecond)}/s`]),
    ...(remainingSeconds === undefined ? [] : [`${durationText(remainingSeconds)} left`]),
  ].join(', ')
}

/** Two lines for a transfer, in ASCII, for consoles of any kind: what it is, and a bar. */
export function transferLines(transfer: Transfer, width: number): readonly string[] {
  const percent = percentOf(transfer)
  const barWidth = Math.max(4, Math.min(widestBar, width - '  [] 100 %'.length))
  const filled = Math.floor((barWidth * percent) / 100)
  const bar = `${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}`
  return [cutText(transferText(transfer), width), cutText(`  [${bar}] ${String(percent).padStart(3)} %`, width)]
}

function drainTransfer({ sentBytes, totalBytes, bytesPerSecond }: DrainProgress): Transfer {
  const remainingSeconds = bytesPerSecond === undefined ? undefined : (totalBytes - sentBytes) / bytesPerSecond
  return { what: 'logs: catching up', bytes: sentBytes, totalBytes, bytesPerSecond, remainingSeconds }
}
