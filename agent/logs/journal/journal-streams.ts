import {
  comparePoints,
  type JournalCursor,
  type JournalPoint,
  type JournalPosition,
  type JournalState,
} from './journal-position.ts'
import { keyOf } from './journal-routes.ts'
import { JournalStream } from './journal-stream.ts'
import type { LogTarget } from '../log-destination.ts'
import type { EventSinks } from '../log-source.ts'

const maxOtherCursors = 500

/** The streams that the journal feeds. */
export class JournalStreams {
  readonly #streams = new Map<string, JournalStream>()

  get all(): readonly JournalStream[] {
    return [...this.#streams.values()]
  }

  /** Those that the reading is for. */
  get reading(): readonly JournalStream[] {
    return this.all.filter(({ isBehind }) => !isBehind)
  }

  /** Those left behind that take something again. */
  ready(sinks: EventSinks): readonly JournalStream[] {
    return this.all.filter(
      (stream) => stream.isBehind && stream.hasRoom(sinks.of(stream.target)) && (stream.isDrained || !stream.isToDrain),
    )
  }

  of(target: LogTarget): JournalStream | undefined {
    return this.#streams.get(keyOf(target))
  }

  /** Makes them, each where it was left, or with the first entry of the boot. */
  restore(targets: readonly LogTarget[], cursors: readonly JournalCursor[], bootId: string): void {
    for (const target of targets) {
      const saved = cursors.find((cursor) => keyOf(cursor) === keyOf(target)) ?? { bootId }
      const { at, isNext } = { at: undefined, isNext: undefined, ...saved }
      const place = { ...(at === undefined ? {} : { at }), ...(isNext === undefined ? {} : { isNext }) }
      this.#streams.set(keyOf(target), new JournalStream(target, { bootId: saved.bootId, ...place }))
    }
  }

  /** Streams that no source feeds now keep their places: the next configuration may name them again. */
  state(saved: JournalState | undefined, boots: readonly string[]): JournalState {
    const others = (saved?.cursors ?? []).filter((cursor) => this.of(cursor) === undefined)
    const cursors = [...others.slice(-maxOtherCursors), ...this.all.map(({ cursor }) => cursor)]
    return { boots: [...boots], cursors: cursors.sort((one, other) => comparePoints(one, other, boots)) }
  }

  /** Where the reading is to begin, so that it comes to the place of each; undefined when it is for none. */
  oldestStart(boots: readonly string[]): JournalPoint | undefined {
    const [first, ...others] = this.reading.map(({ start }) => start)
    if (first === undefined) return undefined
    return others.reduce((one, other) => (comparePoints(other, one, boots) < 0 ? other : one), first)
  }

  /**
   * Has those jump that are too far behind. One that holds what is not accepted yet is left behind until it is: nothing is given up
   * while nothing can be sent, and the record is made when its place moves.
   */
  jump(jumps: ReadonlyMap<JournalPoint, JournalPosition>): void {
    for (const stream of this.reading) {
      const to = jumps.get(stream.point)
      if (to === undefined) continue
      if (stream.isDrained) stream.jumpsTo = to
      else {
        stream.isBehind = true
        stream.isToDrain = true
      }
    }
  }

  /** Notes for each that reading has come this far. */
  passedTo(at: JournalPosition): void {
    for (const stream of this.all) stream.passedTo(at)
  }

  settlePassed(): void {
    for (const stream of this.all) stream.settlePassed()
  }
}
