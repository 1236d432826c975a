import * as z from 'zod'

const bootIdSchema = z.string().regex(/^[0-9a-f]{32}$/)

/** One entry of the journal, and where it stands in it. */
const positionSchema = z.strictObject({
  /** `__CURSOR`, to be handed back to journalctl. */
  cursor: z.string().regex(/^[\x21-\x7e]{1,512}$/),
  bootId: bootIdSchema,
  /** Since the boot, without the time asleep. */
  monotonicUs: z.int().min(0),
  /** Since 1970, by the clock that the device had. */
  realtimeUs: z.int().min(0),
})
const cursorSchema = z.strictObject({
  group: z.string().min(1).max(512),
  stream: z.string().min(1).max(512),
  /** Of the boot that reading goes on in: from its first entry when there is no `at`. */
  bootId: bootIdSchema,
  at: positionSchema.optional(),
  /** Whether the entry at `at` is still to be sent itself: those before it are lost and recorded as such. */
  isNext: z.literal(true).optional(),
})

/** What the journal source keeps in `cursors.json`. */
export const journalStateSchema = z.strictObject({
  /** The boots that the journal holds, in the order that they are read in; this boot is the last. */
  boots: z.array(bootIdSchema).max(10_000),
  /** One per stream, oldest position first. */
  cursors: z.array(cursorSchema).max(1_000),
})

export type JournalPosition = Readonly<z.infer<typeof positionSchema>>
export type JournalCursor = Readonly<z.infer<typeof cursorSchema>>
export type JournalState = Readonly<z.infer<typeof journalStateSchema>>
/** A place in the journal: everything before it is done. */
export type JournalPoint = Pick<JournalCursor, 'bootId' | 'at' | 'isNext'>

/** Where an entry stands to a point: `reached` is the very entry of the point. */
export type Relation = 'before' | 'reached' | 'after'

/**
 * Where `entry` stands to `point`, by the boots' order in `boots`, then as sd-journal orders entries: by the number that
 * journald gave them, else by the monotonic clock. The wall clock does not count: it may have been set in between. Many entries share a
 * microsecond; where only that is known of them, the answer is `after`, so that rather one is sent twice than none.
 */
export function relationOf(entry: JournalPosition, point: JournalPoint, boots: readonly string[]): Relation {
  const { at } = point
  if (at !== undefined && isSameEntry(entry, at)) return 'reached'
  if (entry.bootId !== point.bootId) {
    return boots.indexOf(entry.bootId) < boots.indexOf(point.bootId) ? 'before' : 'after'
  }
  if (at === undefined) return 'after'
  const [one, other] = [serialOf(entry.cursor), serialOf(at.cursor)]
  if (one !== undefined && one.id === other?.id) return one.number < other.number ? 'before' : 'after'
  return entry.monotonicUs < at.monotonicUs ? 'before' : 'after'
}

/** Whether nothing can have stood between the point and the entry after it. */
export function isNextTo(entry: JournalPosition, { at }: JournalPoint): boolean {
  if (at === undefined) return true
  const [one, other] = [serialOf(entry.cursor), serialOf(at.cursor)]
  return one !== undefined && one.id === other?.id && one.number === other.number + 1
}

/** Whether entries are missing between two that came one after the other. */
export function isTorn(entry: JournalPosition, last: JournalPosition): boolean {
  const [one, other] = [serialOf(entry.cursor), serialOf(last.cursor)]
  return one !== undefined && one.id === other?.id && one.number > other.number + 1
}

/** Negative when `one` comes first. */
export function comparePoints(one: JournalPoint, other: JournalPoint, boots: readonly string[]): number {
  if (one.bootId !== other.bootId) return boots.indexOf(one.bootId) - boots.indexOf(other.bootId)
  if (one.at === undefined || other.at === undefined)
    return (one.at === undefined ? 0 : 1) - (other.at === undefined ? 0 : 1)
  const relation = relationOf(one.at, other, boots)
  if (relation === 'reached') return (one.isNext === true ? 0 : 1) - (other.isNext === true ? 0 : 1)
  return relation === 'before' ? -1 : 1
}

export interface JournalSerial {
  /** Of the sequence: journald may begin a new one with a new file. */
  readonly id: string
  readonly number: number
}

const cursorFormat =
  /^s=(?<id>[0-9a-f]{32});i=(?<number>[0-9a-f]{1,13});(?<entry>b=[0-9a-f]{32};m=[0-9a-f]+;t=[0-9a-f]+;x=[0-9a-f]+)$/

/** The number that journald gave an entry; undefined where the cursor is not of the form known since systemd 187. */
export function serialOf(cursor: string): JournalSerial | undefined {
  const { id, number } = cursorFormat.exec(cursor)?.groups ?? {}
  return id === undefined || number === undefined ? undefined : { id, number: Number.parseInt(number, 16) }
}

/** The same also when journald has copied it from /run to /var, where it gets another number. */
function isSameEntry(one: JournalPosition, other: JournalPosition): boolean {
  if (one.cursor === other.cursor) return true
  if (one.bootId !== other.bootId || one.monotonicUs !== other.monotonicUs) return false
  const entry = cursorFormat.exec(one.cursor)?.groups?.['entry']
  return entry !== undefined && entry === cursorFormat.exec(other.cursor)?.groups?.['entry']
}
