import type { FollowedFile } from './followed-file.ts'
import type { FollowedPath } from './followed-path.ts'
import type { GapRecord } from '../log-source.ts'

export interface BacklogBound {
  readonly maxBacklogBytes: number
  /** Called in the turn in which the cursor moves past what is left out. */
  readonly onGap: (gap: GapRecord) => void
  readonly cloudNow: () => number
}

/** How much of the bound is left after a jump: the next is far away. */
const keptFraction = 0.9

/**
 * Jumps ahead once a path has a greater backlog than it may have: to the start of a line behind which it is within
 * bounds again. A cursor can only jump when everything read before was accepted, so `waits` asks to read nothing until
 * then; nothing is given up while nothing can be sent. Throws the file system's error.
 */
export async function skipBacklog(path: FollowedPath, bound: BacklogBound): Promise<'goes on' | 'waits'> {
  if (backlogBytes(path) <= bound.maxBacklogBytes) return 'goes on'
  if (path.files.some((file) => !file.isDrained)) return 'waits'
  let tooMuchBytes = backlogBytes(path) - Math.floor(bound.maxBacklogBytes * keptFraction)
  for (const file of path.files) {
    if (tooMuchBytes <= 0) break
    const { positionBytes, sizeBytes } = file.cursor
    const isRotated = file !== path.files.at(-1)
    const { mtimeNs } = file.seen
    await file.skipTo(Math.min(positionBytes + tooMuchBytes, sizeBytes))
    const skippedBytes = file.cursor.positionBytes - positionBytes
    tooMuchBytes -= skippedBytes
    if (skippedBytes > 0) bound.onGap(gapOf(path, { bytes: skippedBytes, isRotated, mtimeNs, nowMs: bound.cloudNow() }))
  }
  return 'goes on'
}

function gapOf(
  { target, path }: FollowedPath,
  skipped: { bytes: number; isRotated: boolean; mtimeNs: bigint; nowMs: number },
): GapRecord {
  const { bytes, isRotated, mtimeNs, nowMs } = skipped
  // The last write ends what was in a rotated file; of the live one only this moment is known to be later.
  const lastMs = isRotated && mtimeNs > 0n ? Number(mtimeNs / 1_000_000n) : Math.floor(nowMs)
  return { target, source: path, reason: 'too far behind', bytes, lastMs }
}

function backlogBytes({ files }: FollowedPath): number {
  return files.reduce((sum, file) => sum + backlogOf(file), 0)
}

function backlogOf({ cursor: { positionBytes, sizeBytes } }: FollowedFile): number {
  return sizeBytes - positionBytes
}
