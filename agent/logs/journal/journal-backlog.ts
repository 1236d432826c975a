import type { JournalFile } from './journal-files.ts'
import { serialOf, type JournalPoint, type JournalPosition } from './journal-position.ts'

/** A place in a journal file: behind it is this share of its entries. */
export interface JournalCut {
  readonly file: JournalFile
  /** 1: before its first entry. */
  readonly share: number
}

/** What is older by more than this may be of a clock that was wrong, and is not too old then. */
const plausibleMs = 380 * 86_400_000

/**
 * About how much of the journal files is behind a point, for all streams together. More than what is to be sent: the files hold indexes
 * and the fields of entries. Told by the numbers of entries, and where journald began to count anew, by boot and monotonic
 * time; the wall clock counts only for where inside such a file.
 */
export function bytesBehind(point: JournalPoint, files: readonly JournalFile[], boots: readonly string[]): number {
  return files.reduce((sum, file) => sum + Math.floor(file.usedBytes * shareBehind(point, file, boots)), 0)
}

/** The share of a file's entries that come after a point, from 0 to 1. */
export function shareBehind(point: JournalPoint, file: JournalFile, boots: readonly string[]): number {
  const { at } = point
  const serial = at === undefined ? undefined : serialOf(at.cursor)
  const { id, first, last } = file.serials
  if (serial?.id === id) return within((last - serial.number) / (last - first + 1))
  const [ofFile, ofPoint] = [boots.indexOf(file.lastBootId), boots.indexOf(point.bootId)]
  if (ofFile < ofPoint) return 0
  if (at === undefined) return 1
  if (ofFile === ofPoint && file.lastMonotonicUs <= at.monotonicUs) return 0
  return within((file.lastUs - at.realtimeUs) / Math.max(1, file.lastUs - file.firstUs))
}

/** Where so much is left to the end of the journal, by the order in which its files were last written to; undefined when there is not so much. */
export function cutAtBytes(
  bytes: number,
  files: readonly JournalFile[],
  boots: readonly string[],
): JournalCut | undefined {
  let leftBytes = bytes
  for (const file of inOrder(files, boots).toReversed()) {
    if (file.usedBytes > leftBytes) return { file, share: leftBytes / file.usedBytes }
    leftBytes -= file.usedBytes
  }
  return undefined
}

/**
 * The first entry that is in a file that holds anything younger than `oldestMs` (since 1970): all before it are older. Undefined when that
 * is all, and when the clock tells nothing.
 */
export function cutAtTime(
  oldestMs: number,
  files: readonly JournalFile[],
  boots: readonly string[],
): JournalCut | undefined {
  const ordered = inOrder(files, boots)
  const isOld = ({ firstUs, lastUs }: JournalFile): boolean =>
    Math.max(firstUs, lastUs) <= oldestMs * 1_000 && Math.min(firstUs, lastUs) > (oldestMs - plausibleMs) * 1_000
  const young = ordered.findIndex((file) => !isOld(file))
  if (young <= 0) return undefined
  const file = ordered.slice(young).reduce((one, other) => (beginsBefore(other, one) ? other : one))
  return { file, share: 1 }
}

/** The file whose first entry comes next after the end of `file`. */
export function fileAfter(
  file: JournalFile,
  files: readonly JournalFile[],
  boots: readonly string[],
): JournalFile | undefined {
  const ordered = inOrder(files, boots)
  return ordered[ordered.indexOf(file) + 1]
}

/** The place of an entry, itself not yet read. */
export function pointBefore(at: JournalPosition): JournalPoint {
  return { bootId: at.bootId, at, isNext: true }
}

/** By their last entries, oldest first. */
function inOrder(files: readonly JournalFile[], boots: readonly string[]): readonly JournalFile[] {
  return files.toSorted(
    (one, other) =>
      boots.indexOf(one.lastBootId) - boots.indexOf(other.lastBootId) || one.lastMonotonicUs - other.lastMonotonicUs,
  )
}

function beginsBefore(one: JournalFile, other: JournalFile): boolean {
  if (one.serials.id === other.serials.id) return one.serials.first < other.serials.first
  return one.firstUs < other.firstUs
}

function within(share: number): number {
  return Math.min(1, Math.max(0, share))
}
