import { withDeadline } from '../../lib/abort.ts'
import { AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { bytesBehind, cutAtBytes, cutAtTime, fileAfter, pointBefore, shareBehind } from './journal-backlog.ts'
import type { StartJournalctl } from './journal-child.ts'
import { firstEntryOf, isOfCursor } from './journal-first-entry.ts'
import type { JournalFile, ReadJournalFiles } from './journal-files.ts'
import { comparePoints, isNextTo, relationOf, type JournalPoint, type JournalPosition } from './journal-position.ts'

export interface JournalBounds {
  /** A stream jumps ahead when so much of the journal's files is behind its point. */
  readonly maxBacklogBytes: number
  /** What happened before is not wanted, by the clock of cloud and device, in milliseconds since 1970; undefined while that clock is in doubt. */
  readonly oldestMs: () => number | undefined
  readonly files: ReadJournalFiles
}

/** How much of the bound is left after a jump: the next is far away. */
const keptFraction = 0.9
const withinMs = 30_000
const lookEveryMs = { near: 60_000, far: 300_000 }

interface Look extends Pick<JournalBounds, 'maxBacklogBytes'> {
  readonly files: readonly JournalFile[]
  readonly boots: readonly string[]
  readonly signal: AbortSignal
}

/** Finds where streams go on that are too far behind. */
export class JournalJumps {
  readonly #bounds: JournalBounds
  readonly #start: StartJournalctl
  #nextLookMs = -Infinity
  #error: AgentError | undefined

  constructor(bounds: JournalBounds, start: StartJournalctl) {
    this.#bounds = bounds
    this.#start = start
  }

  /** Why the bounds cannot be kept; undefined when they can. */
  get error(): AgentError | undefined {
    return this.#error
  }

  get isDue(): boolean {
    return monotonicMs() >= this.#nextLookMs
  }

  lookNow(): void {
    this.#nextLookMs = -Infinity
  }

  /**
   * The entries to go on at, for the points that are too far behind. Each comes after its point, and is within the bounds as
   * far as they can be told. Never rejects: what cannot be found out is no reason to leave anything out.
   */
  async look(
    points: readonly JournalPoint[],
    { boots, signal }: Pick<Look, 'boots' | 'signal'>,
  ): Promise<ReadonlyMap<JournalPoint, JournalPosition>> {
    this.#nextLookMs = monotonicMs() + lookEveryMs.far
    try {
      const jumps = await withDeadline({ signal, withinMs, what: 'a look at the files of the journal' }, (inner) =>
        this.#find(points, { boots, signal: inner }),
      )
      this.#error = undefined
      return jumps
    } catch (cause) {
      if (!signal.aborted)
        this.#error = new AgentError('the backlog of the journal cannot be measured, so it is not bounded', {
          cause,
          retryable: true,
        })
      return new Map()
    }
  }

  async #find(
    points: readonly JournalPoint[],
    given: Pick<Look, 'boots' | 'signal'>,
  ): Promise<ReadonlyMap<JournalPoint, JournalPosition>> {
    const { maxBacklogBytes } = this.#bounds
    const look = { ...given, maxBacklogBytes, files: await this.#bounds.files() }
    const behind = points.map((point) => bytesBehind(point, look.files, look.boots))
    if (behind.some((bytes) => bytes > maxBacklogBytes / 2)) this.#nextLookMs = monotonicMs() + lookEveryMs.near
    const isOver = behind.some((bytes) => bytes > maxBacklogBytes)
    const within = isOver ? await this.#entryWithin(look) : undefined
    const young = await this.#youngEntry(points, look)
    const jumps = points.map((point, at) => {
      const places = [(behind[at] ?? 0) > maxBacklogBytes ? within : undefined, young]
      return [point, latestAfter(point, places, look.boots)] as const
    })
    return new Map(jumps.flatMap(([point, to]) => (to === undefined ? [] : [[point, to] as const])))
  }

  /** One behind which the journal is within the bound. */
  async #entryWithin(look: Look): Promise<JournalPosition | undefined> {
    const { files, boots, maxBacklogBytes } = look
    const cut = cutAtBytes(Math.floor(maxBacklogBytes * keptFraction), files, boots)
    if (cut === undefined) return undefined
    const next = fileAfter(cut.file, files, boots)
    const { first, last } = cut.file.serials
    const number = last + 1 - Math.floor(cut.share * (last + 1 - first))
    const places = [{ file: cut.file, number }, ...(next === undefined ? [] : [{ file: next, number: undefined }])]
    for (const place of places) {
      const entry = await this.#first(place.file, look, place.number)
      if (entry !== undefined && bytesBehind(pointBefore(entry), files, boots) <= maxBacklogBytes) return entry
    }
    return undefined
  }

  /** One before which everything is too old. */
  async #youngEntry(points: readonly JournalPoint[], look: Look): Promise<JournalPosition | undefined> {
    const oldestMs = this.#bounds.oldestMs()
    const cut = oldestMs === undefined ? undefined : cutAtTime(oldestMs, look.files, look.boots)
    const isBefore = points.some((point) => cut !== undefined && shareBehind(point, cut.file, look.boots) === 1)
    return cut === undefined || !isBefore ? undefined : await this.#first(cut.file, look)
  }

  async #first(
    { path, serials }: JournalFile,
    { signal }: Look,
    number = serials.first,
  ): Promise<JournalPosition | undefined> {
    try {
      return await firstEntryOf(this.#start, { path, serial: { id: serials.id, number } }, signal)
    } catch (error) {
      if (error instanceof AgentError && isOfCursor(error)) return undefined
      throw error
    }
  }
}

/** The latest of the places, if it comes after the point. */
function latestAfter(
  point: JournalPoint,
  places: readonly (JournalPosition | undefined)[],
  boots: readonly string[],
): JournalPosition | undefined {
  const known = places.filter((place) => place !== undefined && boots.includes(place.bootId))
  const [latest] = known.toSorted((one, other) =>
    one === undefined || other === undefined ? 0 : comparePoints(pointBefore(other), pointBefore(one), boots),
  )
  if (latest === undefined || relationOf(latest, point, boots) !== 'after') return undefined
  return point.at !== undefined && isNextTo(latest, point) ? undefined : latest
}
