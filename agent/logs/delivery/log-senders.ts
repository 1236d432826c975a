import { forEachConcurrent } from '../../lib/for-each-concurrent.ts'
import { sleep } from '../../lib/sleep.ts'
import { putLogEventsLimits } from './log-batch.ts'
import type { LogTarget } from '../log-destination.ts'
import type { EventSinks } from '../log-source.ts'
import { LogStreamSender, type Lane, type LogStreamSenderDeps } from './log-stream-sender.ts'
import { ReadAhead, upTo } from './read-ahead.ts'
import { targetKey } from '../target-key.ts'

export interface LogSendersDeps extends Omit<LogStreamSenderDeps, 'target' | 'lane' | 'readAhead'> {
  /** Streams of this group are told without it. */
  readonly group: string
  readonly laneOf: (target: LogTarget) => Lane
}

/** Streams of the first two lanes hold two batches each: one in flight, and the next one. */
const urgentReadAhead = upTo(2 * putLogEventsLimits.maxBytes)
const maxStreamsSending = 4
/** One is kept free for the first two lanes, however the others hang. */
const maxOthersSending = 3

interface Candidate {
  readonly sender: LogStreamSender
  readonly lane: Lane
}

/** One sender per stream, made when it is first asked for, and the decision which of them may send next. */
export class LogSenders implements EventSinks {
  readonly #deps: LogSendersDeps
  readonly #senders = new Map<string, LogStreamSender>()
  readonly #readAhead = new ReadAhead(() => this.#senders.size)

  constructor(deps: LogSendersDeps) {
    this.#deps = deps
  }

  /** Whether there is more to send than goes along with one batch of each stream. */
  get isCatchingUp(): boolean {
    return [...this.#senders.values()].some((sender) => sender.hasBatch && !sender.rest.isResting)
  }

  get all(): readonly LogStreamSender[] {
    return [...this.#senders.values()]
  }

  of(target: LogTarget): LogStreamSender {
    const key = targetKey(target)
    const known = this.#senders.get(key)
    if (known !== undefined) return known
    const lane = this.#deps.laneOf(target)
    const readAhead = lane === 3 ? this.#readAhead : urgentReadAhead
    const sender = new LogStreamSender({ ...this.#deps, target, lane, readAhead })
    this.#senders.set(key, sender)
    return sender
  }

  find(target: LogTarget): LogStreamSender | undefined {
    return this.#senders.get(targetKey(target))
  }

  /**
   * Starts what may be sent now: due streams in the order of their lanes, in a lane the one that waited longest, as far
   * as the pace allows. `onAccepted` is called whenever there is room for more. Answers in how many milliseconds to call
   * again, where the pace holds something up; else Infinity.
   */
  dispatch(signal: AbortSignal, onAccepted: () => void): number {
    if (signal.aborted) return Infinity
    for (;;) {
      const next = this.#next()
      if (next === undefined) return Infinity
      const waitMs = this.#deps.pace.waitMs({ isCatchingUp: this.isCatchingUp })
      if (waitMs > 0) return waitMs
      void next.sender.send(signal).then((outcome) => {
        if (outcome === 'accepted') onAccepted()
        this.dispatch(signal, onAccepted)
      })
    }
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    return this.all
      .filter(({ rest }) => rest.lastError !== undefined)
      .map(({ target, rest }) => ({ what: this.#nameOf(target), error: rest.lastError }))
  }

  /** Forgets the streams that nobody writes to any more, once everything of theirs is sent. */
  keepOnly(targets: readonly LogTarget[]): void {
    const kept = new Set(targets.map(targetKey))
    for (const [key, sender] of this.#senders) {
      if (!kept.has(key) && sender.isIdle) this.#senders.delete(key)
    }
  }

  retryNow(): void {
    for (const sender of this.#senders.values()) sender.retryNow()
  }

  /** Sends everything, due or not, in the order of the lanes, and leaves a stream that fails. */
  async drain(signal: AbortSignal): Promise<void> {
    const byLane = this.all.toSorted((one, other) => one.lane - other.lane)
    const inPace = async (): Promise<void> => {
      const waitMs = this.#deps.pace.waitMs({ isCatchingUp: true })
      if (waitMs > 0) await sleep(waitMs, signal)
    }
    await forEachConcurrent(byLane, maxStreamsSending, async (sender) => {
      await sender.drain(signal, inPace)
    })
  }

  /** Resolves when no batch is in flight. */
  async settled(): Promise<void> {
    await Promise.all(this.all.map((sender) => sender.settled()))
  }

  #next(): Candidate | undefined {
    let sending = 0
    let best: Candidate | undefined
    for (const sender of this.#senders.values()) {
      if (sender.isSending) sending += 1
      const lane = sender.dueLane()
      if (lane !== undefined && isBefore({ sender, lane }, best)) best = { sender, lane }
    }
    const bound = best?.lane === 3 ? maxOthersSending : maxStreamsSending
    return sending < bound ? best : undefined
  }

  #nameOf({ group, stream }: LogTarget): string {
    return group === this.#deps.group ? `stream ${stream}` : `stream ${stream} of ${group}`
  }
}

function isBefore(one: Candidate, other: Candidate | undefined): boolean {
  if (other === undefined) return true
  if (one.lane !== other.lane) return one.lane < other.lane
  return one.sender.startedAtMs < other.sender.startedAtMs
}
