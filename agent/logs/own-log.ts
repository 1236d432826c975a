import { monotonicMs } from '../lib/monotonic.ts'
import type { DeliveredSource } from './delivered-source.ts'
import type { LogTarget } from './log-destination.ts'
import type { LogRing, RingLine } from './log-ring.ts'
import type { EventSink, GapRecord } from './log-source.ts'
import type { SourceEvent } from './events/source-event.ts'

export interface OwnLogDeps {
  readonly ring: LogRing
  readonly target: LogTarget
  readonly onGap: (gap: GapRecord) => void
}

/** The stream that it goes to. */
export type OwnLogSink = EventSink & { readonly rest: { readonly isResting: boolean } }

/** How long journalctl may take until it shows a line of our own: on a slow appliance it takes seconds to start. */
const coveredWithinMs = 10_000

/** The agent's own log on its way from the ring to its stream, and back for the worker that comes next. */
export class OwnLog {
  readonly #deps: OwnLogDeps

  constructor(deps: OwnLogDeps) {
    this.#deps = deps
  }

  get pendingBytes(): number {
    return this.#deps.ring.pendingBytes
  }

  get pendingLines(): number {
    return this.#deps.ring.lines.length
  }

  /**
   * Moves on what is not to wait for a source that may come to cover it; all at the stop, or before the ring would have to drop
   * lines. Lets go what a healthy source covers.
   */
  moveTo(
    sink: OwnLogSink,
    { sources, isStopping }: { readonly sources: readonly DeliveredSource[]; readonly isStopping: boolean },
  ): void {
    const { ring } = this.#deps
    if (sources.some(({ coversOwnLog, isHealthy }) => coversOwnLog === true && isHealthy === true)) ring.take()
    else if (!sink.rest.isResting && !sink.isFull) {
      const isHeld = sources.some(({ mayCoverOwnLog }) => mayCoverOwnLog === true) && !isStopping && !ring.isHalfFull
      this.#move(sink, isHeld ? monotonicMs() - coveredWithinMs : Infinity)
    }
  }

  /** Puts back what was moved and not accepted. */
  putBack(held: readonly SourceEvent[]): void {
    this.#deps.ring.putBack(held.filter(({ origin }) => origin === undefined).map(lineOf))
  }

  #move(sink: OwnLogSink, beforeMs: number): void {
    const { ring, target, onGap } = this.#deps
    const { dropped, lines } = ring.take(beforeMs)
    if (dropped > 0) onGap({ target, source: "the agent's own log", reason: 'dropped', lines: dropped })
    for (const line of lines) sink.offer(eventOf(line))
  }
}

function eventOf({ text, textBytes, urgent, atMs }: RingLine): SourceEvent {
  return {
    message: text,
    messageBytes: textBytes,
    atMs,
    statedMs: undefined,
    wallOffsetMs: undefined,
    level: urgent ? 'warn' : 'info',
    origin: undefined,
    position: 0,
  }
}

function lineOf({ message, messageBytes, level, atMs }: SourceEvent): RingLine {
  return { text: message, textBytes: messageBytes, urgent: level === 'warn', atMs }
}
