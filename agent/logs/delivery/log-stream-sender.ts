import { withDeadline } from '../../lib/abort.ts'
import { DeadlineError, type AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { BatchBound } from './batch-bound.ts'
import { deliver } from './deliver.ts'
import type { GapOutbox } from './gap-outbox.ts'
import { putLogEventsLimits } from './log-batch.ts'
import type { LogDestination } from '../log-destination.ts'
import type { EventSink } from '../log-source.ts'
import { noneRejected, type Parcel } from './parcel.ts'
import type { ReadAheadRule, ReadingStream } from './read-ahead.ts'
import type { SendPace } from './send-pace.ts'
import type { SourceEvent } from '../events/source-event.ts'
import { StreamQueue, type StreamQueueDeps } from './stream-queue.ts'
import { StreamRest } from './stream-rest.ts'
import { UrgentEvents } from './urgent-events.ts'

/** 1: metrics and gap records. 2: the agent's own log. 3: all others. */
export type Lane = 1 | 2 | 3

export interface LogStreamSenderDeps extends StreamQueueDeps {
  readonly destination: LogDestination
  readonly lane: Lane
  readonly outbox: GapOutbox
  readonly pace: SendPace
  /** How long an event waits for others to go along with. */
  readonly flushMs: () => number
  /** How much the stream may hold. */
  readonly readAhead: ReadAheadRule
  /** Remembers over a crash how far the sources are. Never throws. */
  readonly remember: () => void
}

/** `again`: not accepted, and another try, which will be different, may follow at once. */
export type SendOutcome = 'accepted' | 'again' | 'failed'

const sendWithinMs = 60_000
const quietEventWaitMs = 60_000
const maxQueuedEvents = 2 * putLogEventsLimits.maxEvents

/**
 * The events of one stream on their way: one batch in flight, and a rest after failures that concerns no other stream.
 * Batches are halved while they do not get through in time, so that a slow line moves too, and doubled as they are
 * accepted.
 */
export class LogStreamSender implements EventSink, ReadingStream {
  readonly queue: StreamQueue
  readonly rest = new StreamRest()
  readonly #deps: LogStreamSenderDeps
  readonly #urgent: UrgentEvents
  readonly #bound = new BatchBound()
  #dueAtMs = Infinity
  /** Of what was offered while a batch was in flight. */
  #laterDueAtMs = Infinity
  #flight: Promise<SendOutcome> | undefined
  /** Asked for while the batch in flight was on its way. */
  #isToRetry = false
  #startedAtMs = -Infinity
  #lastAcceptedAtMs: number | undefined

  constructor(deps: LogStreamSenderDeps) {
    this.#deps = deps
    this.queue = new StreamQueue(deps)
    this.#urgent = new UrgentEvents(deps)
  }

  get target(): LogStreamSenderDeps['target'] {
    return this.#deps.target
  }

  /** Of its ordinary events. */
  get lane(): Lane {
    return this.#deps.lane
  }

  /** Events that it holds and that were not accepted, records of gaps apart. */
  get length(): number {
    return this.queue.length + this.#urgent.length
  }

  get isIdle(): boolean {
    return this.queue.length === 0 && !this.#urgent.hasPosts && this.#flight === undefined
  }

  get isSending(): boolean {
    return this.#flight !== undefined
  }

  /** When it last began to send, on the monotonic clock. */
  get startedAtMs(): number {
    return this.#startedAtMs
  }

  /** On the monotonic clock. */
  get lastAcceptedAtMs(): number | undefined {
    return this.#lastAcceptedAtMs
  }

  get heldBytes(): number {
    return this.queue.heldBytes
  }

  get batchBytes(): number {
    return Math.min(this.#bound.maxBytes, this.#deps.pace.maxBatchBytes)
  }

  get isFailing(): boolean {
    return this.rest.lastError !== undefined
  }

  get isProven(): boolean {
    return this.#lastAcceptedAtMs !== undefined
  }

  /** Whether it holds its share of the memory: nothing more is to be read for it. Whoever asks gets in line for more. */
  get isFull(): boolean {
    return this.queue.length >= maxQueuedEvents || !this.#deps.readAhead.hasRoom(this)
  }

  get roomBytes(): number {
    return this.#deps.readAhead.roomBytes(this)
  }

  /** Whether waiting would make the next batch no greater. */
  get hasBatch(): boolean {
    const { length, heldBytes, isSearching } = this.queue
    if (length === 0) return false
    if (length >= putLogEventsLimits.maxEvents || isSearching) return true
    return heldBytes >= this.batchBytes || this.#deps.readAhead.isToGiveWay(this)
  }

  offer(event: SourceEvent): void {
    this.queue.offer(event)
    const isFlying = this.#flight !== undefined
    const dueAtMs = isFlying ? this.#laterDueAtMs : this.#dueAtMs
    if (this.#deps.lane !== 2 && dueAtMs !== Infinity) return
    const newDueAtMs = Math.min(dueAtMs, this.#waitFor(event))
    if (isFlying) this.#laterDueAtMs = newDueAtMs
    else this.#dueAtMs = newDueAtMs
  }

  /** Sends a message in the first lane. Of those that cannot be sent the newest ten are kept. */
  post(message: string): void {
    this.#urgent.post(message)
  }

  /** The lane in which it wants to send now, if it does. */
  dueLane(): Lane | undefined {
    if (this.#flight !== undefined || this.rest.isResting) return undefined
    if (this.#urgent.isDue({ isBehind: this.queue.isLeavingOut, isStopping: false })) return 1
    return this.hasBatch || this.#isOverdue ? this.#deps.lane : undefined
  }

  /** Sends one batch, or joins the one in flight. Never rejects: after a failure it rests, and the events stay. */
  async send(signal: AbortSignal, isStopping = false): Promise<SendOutcome> {
    this.#flight ??= this.#send(this.#parcel(isStopping), signal).finally(() => {
      this.#flight = undefined
      if (this.#isToRetry) this.rest.end()
      this.#isToRetry = false
      this.#deps.readAhead.sent(this)
      this.#settleDue()
    })
    return await this.#flight
  }

  /** Sends, whatever is due, until nothing is left or a batch fails. `beforeEach` may wait. */
  async drain(signal: AbortSignal, beforeEach: () => Promise<void>): Promise<void> {
    const isStopping = true
    if (this.#flight !== undefined) await this.#flight
    while (!signal.aborted && (!this.isIdle || this.#urgent.isDue({ isBehind: false, isStopping }))) {
      await beforeEach()
      if ((await this.send(signal, isStopping)) === 'failed') return
    }
  }

  /** Ends its rest, and that of the batch in flight if it fails: it began while what may be over was not. */
  retryNow(): void {
    this.rest.end()
    this.#isToRetry = this.#flight !== undefined
  }

  /** Resolves when no batch is in flight. */
  async settled(): Promise<void> {
    await this.#flight
  }

  get #isOverdue(): boolean {
    return this.queue.length > 0 && monotonicMs() >= this.#dueAtMs && !this.#deps.readAhead.isWaiting(this)
  }

  /** Events of the agent's own log below warn never make a flush soon. */
  #waitFor({ level, atMs }: SourceEvent): number {
    const isQuiet = this.#deps.lane === 2 && (level === 'debug' || level === 'info')
    return isQuiet ? atMs + quietEventWaitMs : monotonicMs() + this.#deps.flushMs()
  }

  #settleDue(): void {
    const dueAtMs = Math.min(this.#dueAtMs, this.#laterDueAtMs)
    this.#laterDueAtMs = Infinity
    if (this.queue.length === 0) this.#dueAtMs = Infinity
    else this.#dueAtMs = dueAtMs === Infinity ? monotonicMs() : dueAtMs
  }

  #parcel(isStopping: boolean): Parcel {
    this.#startedAtMs = monotonicMs()
    const how = { isBehind: this.queue.isLeavingOut, isStopping }
    const isOthersTurn = this.#urgent.letPass() && this.queue.length > 0
    if (this.#urgent.isDue(how) && !isOthersTurn) return this.#urgentParcel(how)
    const parcel = this.queue.parcel(this.batchBytes)
    const takesAll = parcel.batch.taken === this.queue.length
    if (!takesAll) return parcel
    return {
      ...parcel,
      accepted: (rejected) => {
        parcel.accepted(rejected)
        this.#dueAtMs = this.#laterDueAtMs
      },
    }
  }

  #urgentParcel(how: Parameters<UrgentEvents['parcel']>[0]): Parcel {
    const parcel = this.#urgent.parcel(how)
    return {
      ...parcel,
      accepted: (rejected) => {
        parcel.accepted(rejected)
        if (parcel.batch.events.length > 0) this.queue.noteOtherAccepted()
      },
    }
  }

  async #send(parcel: Parcel, signal: AbortSignal): Promise<SendOutcome> {
    if (parcel.batch.events.length === 0) {
      parcel.accepted(noneRejected)
      return 'accepted'
    }
    const { destination, target, pace } = this.#deps
    const { events, bytes } = parcel.batch
    const onPut = (): void => {
      pace.sends(bytes)
    }
    try {
      const what = `the upload to log stream ${target.stream}`
      const outcome = await withDeadline({ signal, withinMs: sendWithinMs, what }, (inner) =>
        deliver({ destination, target, events, onPut }, inner),
      )
      if (outcome.kind === 'cut-short') return this.#cutShort(parcel, outcome.error)
      if (outcome.kind === 'refused') return this.#refused(parcel, outcome.error)
      parcel.accepted(outcome.rejected)
      this.#urgent.noteAccepted()
      this.#bound.accepted()
      this.rest.succeeded()
      this.#lastAcceptedAtMs = monotonicMs()
      this.#deps.remember()
      return 'accepted'
    } catch (error) {
      if (error instanceof DeadlineError && !signal.aborted) return this.#cutShort(parcel, error)
      parcel.putBack()
      if (!signal.aborted) this.rest.failed(error)
      return 'failed'
    }
  }

  #cutShort(parcel: Parcel, error: AgentError): SendOutcome {
    parcel.putBack()
    this.#bound.cutShort(parcel.batch.bytes)
    this.rest.failed(error)
    return 'failed'
  }

  #refused(parcel: Parcel, error: AgentError): SendOutcome {
    const outcome = parcel.refused()
    if (outcome === 'failed') this.rest.failed(error)
    return outcome
  }
}
