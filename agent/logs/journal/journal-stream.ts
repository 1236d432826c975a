import { monotonicMs } from '../../lib/monotonic.ts'
import type { JournalEntry } from './journal-entry.ts'
import {
  isNextTo,
  relationOf,
  type JournalCursor,
  type JournalPoint,
  type JournalPosition,
} from './journal-position.ts'
import type { LogTarget } from '../log-destination.ts'
import type { EventSink } from '../log-source.ts'
import type { EventOrigin, SourceEvent } from '../events/source-event.ts'

/** How long a stream may stand still before the others no longer wait for it. */
const patienceMs = 30_000
const maxUnaccepted = 20_000

/** One stream that journal entries go to: how far it was read, and how much of that was accepted. */
export class JournalStream implements EventOrigin {
  readonly target: LogTarget
  /** Whether the reading has not come to its point yet, so that what comes is known already. */
  isSeeking = true
  /** Whether the reading went on without it; its point stays. */
  isBehind = false
  /** The entry to go on at, because it is too far behind. */
  jumpsTo: JournalPosition | undefined
  /** Whether what it holds is to be accepted before it is read on, so that it can jump. */
  isToDrain = false
  #point: JournalPoint
  #settled: JournalPoint
  #offered = 0
  #unaccepted: { readonly number: number; readonly point: JournalPoint }[] = []
  #head = 0
  #heldSinceMs: number | undefined

  constructor(target: LogTarget, point: JournalPoint) {
    this.target = target
    this.#point = point
    this.#settled = point
  }

  /** Everything before it was offered or is not for this stream. */
  get point(): JournalPoint {
    return this.#point
  }

  /** Where to read on. */
  get start(): JournalPoint {
    return this.jumpsTo === undefined ? this.#point : { bootId: this.jumpsTo.bootId, at: this.jumpsTo }
  }

  /** Everything before it was accepted or is not for this stream. */
  get cursor(): JournalCursor {
    return { ...this.target, ...this.#settled }
  }

  /** Whether everything that was offered was accepted. */
  get isDrained(): boolean {
    return this.#head === this.#unaccepted.length
  }

  /**
   * Looks whether `entry` is where the stream was left. Answers true when that place is no longer in the journal, or was jumped over.
   * `isFromStart`: its boot is read from the first entry on.
   */
  hasLostItsPlace(entry: JournalPosition, boots: readonly string[], isFromStart: boolean): boolean {
    const relation = relationOf(entry, this.#point, boots)
    if (relation === 'before') return false
    this.isSeeking = false
    this.jumpsTo = undefined
    const isNext = this.#point.isNext === true
    if (relation === 'after') {
      if (this.#point.at === undefined) return !isFromStart
      return isNext || !isNextTo(entry, this.#point)
    }
    if (!isNext) this.passedTo(entry)
    return false
  }

  /** Whether `entry` was offered or passed before. */
  hasDone({ cursor }: JournalPosition): boolean {
    return this.isSeeking || (this.#point.at?.cursor === cursor && this.#point.isNext !== true)
  }

  /** Goes on right before `entry`; what was before it is lost and recorded. */
  moveBefore(entry: JournalPosition): void {
    this.#point = { bootId: entry.bootId, at: entry, isNext: true }
    if (this.isDrained) this.#settled = this.#point
    else this.#unaccepted.push({ number: this.#offered, point: this.#point })
  }

  /** Is read again, from its point on: how far the last run came is nothing to it. */
  rejoin(): void {
    this.isBehind = false
    this.isSeeking = true
    this.isToDrain = false
  }

  /** Takes note that reading has come this far. */
  passedTo(at: JournalPosition): void {
    if (!this.isSeeking && !this.isBehind) this.#point = { bootId: at.bootId, at }
  }

  /** Counts what was passed as settled, if nothing before it waits to be accepted. */
  settlePassed(): void {
    if (this.isDrained) this.#settled = this.#point
  }

  /** Whether `sink` takes more; when not, since when is remembered. */
  hasRoom(sink: EventSink): boolean {
    const hasRoom = !sink.isFull && this.#unaccepted.length - this.#head < maxUnaccepted
    if (hasRoom) this.#heldSinceMs = undefined
    else this.#heldSinceMs ??= monotonicMs()
    return hasRoom
  }

  /** Whether it has had no room, and nothing of it was accepted, for so long that the others go on without it. */
  get isStuck(): boolean {
    return this.#heldSinceMs !== undefined && monotonicMs() - this.#heldSinceMs >= patienceMs
  }

  /** Offers the messages of one entry; only the last of them settles it. */
  offer(sink: EventSink, entry: JournalEntry, events: readonly StreamEvent[]): void {
    const { position } = entry
    this.#point = { bootId: position.bootId, at: position }
    for (const [index, event] of events.entries()) {
      if (index === events.length - 1) {
        this.#offered += 1
        this.#unaccepted.push({ number: this.#offered, point: this.#point })
      }
      sink.offer({ ...event, origin: this, position: this.#offered })
    }
  }

  accepted(position: number): void {
    for (let next = this.#unaccepted[this.#head]; next !== undefined && next.number <= position;) {
      this.#settled = next.point
      this.#head += 1
      next = this.#unaccepted[this.#head]
      if (this.#heldSinceMs !== undefined) this.#heldSinceMs = monotonicMs()
    }
    if (this.#head * 2 < this.#unaccepted.length) return
    this.#unaccepted = this.#unaccepted.slice(this.#head)
    this.#head = 0
  }
}

export type StreamEvent = Omit<SourceEvent, 'origin' | 'position'>
