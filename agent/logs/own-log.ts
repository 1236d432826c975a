import type { LogTarget } from './log-destination.ts'
import type { LogRing, RingLine } from './log-ring.ts'
import type { EventSink, GapRecord } from './log-source.ts'
import type { SourceEvent } from './events/source-event.ts'

export interface OwnLogDeps {
  readonly ring: LogRing
  readonly target: LogTarget
  readonly onGap: (gap: GapRecord) => void
}

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

  /** Lets all go: a source sends the same lines. */
  letGo(): void {
    this.#deps.ring.take()
  }

  /** Moves what was logged before, on the monotonic clock. */
  moveTo(sink: EventSink, beforeMs: number): void {
    if (sink.isFull) return
    const { ring, target, onGap } = this.#deps
    const { dropped, lines } = ring.take(beforeMs)
    if (dropped > 0) onGap({ target, source: "the agent's own log", reason: 'dropped', lines: dropped })
    for (const line of lines) sink.offer(eventOf(line))
  }

  /** Puts back what was moved and not accepted. */
  putBack(held: readonly SourceEvent[]): void {
    this.#deps.ring.putBack(held.filter(({ origin }) => origin === undefined).map(lineOf))
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
