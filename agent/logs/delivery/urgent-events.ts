import { monotonicMs } from '../../lib/monotonic.ts'
import type { EventClock } from '../events/event-clock.ts'
import type { GapOutbox, TakeOptions } from './gap-outbox.ts'
import { renderGapRecord } from './gap-record.ts'
import { nextBatch, putLogEventsLimits } from './log-batch.ts'
import type { LogTarget } from '../log-destination.ts'
import type { GapRecord } from '../log-source.ts'
import type { LogTally } from '../log-tally.ts'
import type { Parcel } from './parcel.ts'
import type { SourceEvent } from '../events/source-event.ts'

export interface UrgentEventsDeps {
  readonly target: LogTarget
  readonly outbox: GapOutbox
  readonly clock: EventClock
  readonly tally: LogTally
}

/** An event that was handed out to be sent. One of the two is to be called. */
interface UrgentEvent {
  readonly event: SourceEvent
  /** What it tells, unless it is a message. */
  readonly gap: GapRecord | undefined
  readonly settle: () => void
  readonly putBack: () => void
}

const maxPosts = 10
const maxGaps = 50
/** So many gap records are refused one after the other before the stream rests. */
const maxRefusedInARow = 3

/** The first lane of one stream: its gap records, and messages, such as metrics, of which the newest are kept. */
export class UrgentEvents {
  readonly #deps: UrgentEventsDeps
  #posts: readonly SourceEvent[] = []
  #limit = Infinity
  /** Batches of the stream, of this lane or not. */
  #acceptedBatches = 0
  #refusedInARow = 0
  /** How many batches were accepted when a gap record was first refused alone. */
  readonly #refusedAt = new WeakMap<GapRecord, number>()
  #isLetPass = false

  constructor(deps: UrgentEventsDeps) {
    this.#deps = deps
  }

  get length(): number {
    return this.#posts.length
  }

  get hasPosts(): boolean {
    return this.#posts.length > 0
  }

  post(message: string): void {
    this.#hold([...this.#posts, eventOf(message)])
  }

  isDue(how: Omit<TakeOptions, 'limit'>): boolean {
    return this.hasPosts || this.#deps.outbox.isDue(this.#deps.target, how)
  }

  /** The stream took a batch, of this lane or not. */
  noteAccepted(): void {
    this.#acceptedBatches += 1
    this.#refusedInARow = 0
  }

  /** Whether it is the turn of others, once: the stream refused what it would get. */
  letPass(): boolean {
    const isLetPass = this.#isLetPass
    this.#isLetPass = false
    return isLetPass
  }

  /** What is to be sent next. Only one at a time. */
  parcel(how: Omit<TakeOptions, 'limit'>): Parcel {
    const all = this.#take({ ...how, limit: this.#limit })
    const batch = nextBatch(
      all.map(({ event }) => event),
      {
        clock: this.#deps.clock.read(),
        limits: putLogEventsLimits,
        maxAgeMs: Infinity,
        maxTaken: Infinity,
        isFlagged: true,
      },
    )
    const sent = all.slice(0, batch.taken)
    for (const urgent of all.slice(batch.taken)) urgent.putBack()
    return {
      batch,
      accepted: ({ tooOld, tooNew, expired }) => {
        this.#limit = Infinity
        for (const urgent of sent) urgent.settle()
        this.#deps.tally.accepted(sent.length - tooOld - tooNew - expired)
        this.#deps.tally.lost({ tooOld, tooNew, expired })
      },
      refused: () => this.#refused(sent, how),
      putBack: () => {
        for (const urgent of sent) urgent.putBack()
      },
    }
  }

  /** They go one by one from then on. */
  #refused(sent: readonly UrgentEvent[], how: Omit<TakeOptions, 'limit'>): 'again' | 'failed' {
    const [only, ...others] = sent
    if (only !== undefined && others.length === 0) return this.#refusedAlone(only, how)
    this.#limit = 1
    for (const urgent of sent) urgent.putBack()
    return 'again'
  }

  /**
   * A message is given up; a gap record only when the stream took something else since it was first refused, so that it
   * is not the stream. It is counted, and no gap record made of it: no circle.
   */
  #refusedAlone({ gap, settle, putBack }: UrgentEvent, how: Omit<TakeOptions, 'limit'>): 'again' | 'failed' {
    const refusedAt = gap === undefined ? -Infinity : (this.#refusedAt.get(gap) ?? Infinity)
    if (refusedAt < this.#acceptedBatches) {
      settle()
      if (gap === undefined) this.#deps.tally.messagesDropped(1)
      else this.#deps.tally.lost({ refused: 1 })
      return 'again'
    }
    if (gap !== undefined && refusedAt === Infinity) this.#refusedAt.set(gap, this.#acceptedBatches)
    const hasOthers = this.isDue(how)
    putBack()
    this.#refusedInARow += 1
    this.#isLetPass = true
    return hasOthers && this.#refusedInARow < maxRefusedInARow ? 'again' : 'failed'
  }

  #take({ limit, ...how }: TakeOptions): readonly UrgentEvent[] {
    const posts = this.#posts.slice(0, limit)
    this.#posts = this.#posts.slice(posts.length)
    const left = Math.min(maxGaps, limit - posts.length)
    const gaps = this.#deps.outbox.take(this.#deps.target, { ...how, limit: left })
    return [
      ...posts.map((event) => ({
        event,
        gap: undefined,
        settle: () => undefined,
        putBack: () => {
          this.#hold([...this.#posts, event].toSorted((one, other) => one.atMs - other.atMs))
        },
      })),
      ...gaps.map(({ gap, settle, putBack }) => ({ event: eventOf(renderGapRecord(gap)), gap, settle, putBack })),
    ]
  }

  #hold(posts: readonly SourceEvent[]): void {
    this.#posts = posts.slice(-maxPosts)
    const dropped = posts.length - this.#posts.length
    if (dropped > 0) this.#deps.tally.messagesDropped(dropped)
  }
}

function eventOf(message: string): SourceEvent {
  return {
    message,
    messageBytes: Buffer.byteLength(message),
    atMs: monotonicMs(),
    statedMs: undefined,
    wallOffsetMs: undefined,
    level: undefined,
    origin: undefined,
    position: 0,
  }
}
