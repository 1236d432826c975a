import { withDeadline } from '../lib/abort.ts'
import { backoffMs, type Backoff } from '../lib/backoff.ts'
import { AgentError, DeadlineError } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { BatchBound } from './batch-bound.ts'
import { eventOverheadBytes, nextBatch, putLogEventsLimits, type LogBatch, type UnsentEvent } from './log-batch.ts'
import type { LogDestination, LogTarget, PutOutcome } from './log-destination.ts'
import type { LogTally } from './log-tally.ts'

export interface QueuedEvent extends UnsentEvent {
  /** On the monotonic clock: the event starts a flush then, if none took it along before. */
  readonly dueAtMs: number
  /** Told `endBytes` once the event is accepted. */
  readonly origin?: { accepted(endBytes: number): void }
  readonly endBytes: number
}

export interface LogStreamSenderDeps {
  readonly target: LogTarget
  readonly destination: LogDestination
  readonly cloudNow: () => number
  readonly tally: LogTally
}

const sendWithinMs = 60_000
const retryableBackoff: Backoff = { baseMs: 1_000, capMs: 60_000 }
/** Clocks are read in whole milliseconds: a change by less than this is no news, and would swap lines of one moment. */
const clockTrembleMs = 10
const hopelessRestMs = { minMs: 30_000, maxMs: 120_000 }

/**
 * The events of one stream on their way: one batch in flight, and a back-off that concerns no other stream. Batches are
 * halved while they do not get through in time, so that a slow line moves too, and doubled as they are accepted.
 */
export class LogStreamSender {
  readonly #deps: LogStreamSenderDeps
  readonly #queue: QueuedEvent[] = []
  #heldBytes = 0
  readonly #bound = new BatchBound()
  #epochMs = -Infinity
  #dueAtMs = Infinity
  #flight: Promise<boolean> | undefined
  #failedInARow = 0
  #notBeforeMs = -Infinity
  #lastError: unknown
  #lastAcceptedAtMs: number | undefined
  #sinceMs = monotonicMs()

  constructor(deps: LogStreamSenderDeps) {
    this.#deps = deps
  }

  get target(): LogTarget {
    return this.#deps.target
  }

  /** What it holds, oldest first. */
  get held(): readonly QueuedEvent[] {
    return this.#queue
  }

  get isIdle(): boolean {
    return this.#queue.length === 0 && this.#flight === undefined
  }

  get isHeldBack(): boolean {
    return monotonicMs() < this.#notBeforeMs
  }

  /** What the last try failed with; undefined after one that did not. */
  get lastError(): unknown {
    return this.#lastError
  }

  /** When it began to succeed or to fail, on the monotonic clock. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  /** On the monotonic clock; undefined while it is not held back. */
  get nextAttemptMs(): number | undefined {
    return this.isHeldBack ? this.#notBeforeMs : undefined
  }

  /** On the monotonic clock. */
  get lastAcceptedAtMs(): number | undefined {
    return this.#lastAcceptedAtMs
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  offer(event: QueuedEvent): void {
    this.#queue.push(event)
    this.#heldBytes += event.messageBytes + eventOverheadBytes
    this.#dueAtMs = Math.min(this.#dueAtMs, event.dueAtMs)
  }

  /** Whether it holds a batch, or its share of the memory: nothing more is to be read for it. */
  isFull(shareBytes: number): boolean {
    return this.#heldBytes >= shareBytes || this.#queue.length >= putLogEventsLimits.maxEvents
  }

  isDue(shareBytes: number): boolean {
    if (this.#queue.length === 0 || this.#flight !== undefined || this.isHeldBack) return false
    return this.isFull(Math.min(shareBytes, this.#bound.maxBytes)) || monotonicMs() >= this.#dueAtMs
  }

  /**
   * Sends one batch, or joins the one in flight; answers whether it was accepted. Never rejects: a failure holds the
   * stream back for a while, and the events stay.
   */
  async send(signal: AbortSignal): Promise<boolean> {
    this.#flight ??= this.#send(signal).finally(() => {
      this.#flight = undefined
    })
    return await this.#flight
  }

  /** Sends, whatever is due, until nothing is left or a batch fails. */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.#flight !== undefined) await this.#flight
    while (this.#queue.length > 0 && !signal.aborted && (await this.send(signal)));
  }

  /** Ends the back-off: what held the stream up may be over. */
  retryNow(): void {
    this.#notBeforeMs = -Infinity
  }

  /** Resolves when no batch is in flight. */
  async settled(): Promise<void> {
    await this.#flight
  }

  async #send(signal: AbortSignal): Promise<boolean> {
    const { target } = this.#deps
    const epochMs = this.#readEpochMs()
    const limits = { ...putLogEventsLimits, maxBytes: this.#bound.maxBytes }
    const batch = nextBatch(this.#queue, (readAtMs) => Math.floor(epochMs + readAtMs), limits)
    try {
      const what = `the upload to log stream ${target.stream}`
      const outcome = await withDeadline({ signal, withinMs: sendWithinMs, what }, (inner) =>
        deliver(this.#deps, batch, inner),
      )
      if (outcome.kind === 'accepted') this.#accepted(batch, outcome)
      else this.#cutShort(batch, outcome.error)
      return outcome.kind === 'accepted'
    } catch (error) {
      if (signal.aborted) return false
      if (error instanceof DeadlineError) this.#cutShort(batch, error)
      else this.#failed(error)
      return false
    }
  }

  /** The cloud's time at zero of the monotonic clock. */
  #readEpochMs(): number {
    const epochMs = this.#deps.cloudNow() - monotonicMs()
    if (Math.abs(epochMs - this.#epochMs) >= clockTrembleMs) this.#epochMs = epochMs
    return this.#epochMs
  }

  #accepted(batch: LogBatch, { rejected }: AcceptedOutcome): void {
    const { tally } = this.#deps
    for (const { origin, endBytes, messageBytes } of this.#queue.splice(0, batch.taken)) {
      this.#heldBytes -= messageBytes + eventOverheadBytes
      origin?.accepted(endBytes)
    }
    this.#dueAtMs = this.#queue.reduce((dueAtMs, event) => Math.min(dueAtMs, event.dueAtMs), Infinity)
    if (this.#lastError !== undefined) this.#sinceMs = monotonicMs()
    this.#bound.accepted()
    this.#failedInARow = 0
    this.#notBeforeMs = -Infinity
    this.#lastError = undefined
    this.#lastAcceptedAtMs = monotonicMs()
    tally.accepted(batch.taken - rejected.tooOld - rejected.tooNew - rejected.expired)
    tally.lost(rejected)
  }

  #cutShort({ bytes }: LogBatch, error: AgentError): void {
    this.#bound.cutShort(bytes)
    this.#failed(error)
  }

  #failed(error: unknown): void {
    const isHopeless = error instanceof AgentError && !error.retryable
    const { minMs, maxMs } = hopelessRestMs
    const restMs = isHopeless
      ? minMs + Math.random() * (maxMs - minMs)
      : Math.max(retryableBackoff.baseMs, backoffMs(this.#failedInARow, retryableBackoff))
    if (this.#lastError === undefined) this.#sinceMs = monotonicMs()
    this.#failedInARow += 1
    this.#notBeforeMs = monotonicMs() + restMs
    this.#lastError = error
  }
}

type AcceptedOutcome = Extract<PutOutcome, { kind: 'accepted' }>
type FinalOutcome = Exclude<PutOutcome, { kind: 'no-stream' }>

/** PutLogEvents first: stream and group are made only when it says that they are missing. */
async function deliver(deps: LogStreamSenderDeps, { events }: LogBatch, signal: AbortSignal): Promise<FinalOutcome> {
  const { destination, target } = deps
  const outcome = await destination.put(target, events, signal)
  if (outcome.kind !== 'no-stream') return outcome
  if ((await destination.createStream(target, signal)) === 'no-group') {
    await destination.createGroup(target.group, signal)
    await destination.createStream(target, signal)
  }
  const second = await destination.put(target, events, signal)
  if (second.kind !== 'no-stream') return second
  throw new AgentError(`log stream ${target.stream} of ${target.group} is missing right after it was made`, {
    retryable: true,
  })
}
