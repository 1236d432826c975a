import { putLogEventsLimits } from './log-batch.ts'
import type { LogTarget } from './log-destination.ts'
import { LogStreamSender, type LogStreamSenderDeps } from './log-stream-sender.ts'

/** All streams read ahead this much together, and each at least `minShareBytes`, so that none starves another. */
const readAheadBytes = 4 * 1_048_576
const minShareBytes = 16_384

export interface LogSendersDeps extends Omit<LogStreamSenderDeps, 'target'> {
  /** Streams of this group are told without it. */
  readonly group: string
}

/** One sender per stream, made when it is first asked for. */
export class LogSenders {
  readonly #deps: LogSendersDeps
  readonly #senders = new Map<string, LogStreamSender>()

  constructor(deps: LogSendersDeps) {
    this.#deps = deps
  }

  /** How much one stream may hold: a batch, or less when there are many streams. */
  get shareBytes(): number {
    const fairBytes = Math.floor(readAheadBytes / Math.max(1, this.#senders.size))
    return Math.max(minShareBytes, Math.min(fairBytes, putLogEventsLimits.maxBytes))
  }

  of(target: LogTarget): LogStreamSender {
    const sender = this.find(target) ?? new LogStreamSender({ ...this.#deps, target })
    this.#senders.set(keyOf(target), sender)
    return sender
  }

  find(target: LogTarget): LogStreamSender | undefined {
    return this.#senders.get(keyOf(target))
  }

  due(): readonly LogStreamSender[] {
    return [...this.#senders.values()].filter((sender) => sender.isDue(this.shareBytes))
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    return [...this.#senders.values()]
      .filter(({ lastError }) => lastError !== undefined)
      .map(({ target, lastError }) => ({ what: this.#nameOf(target), error: lastError }))
  }

  /** Forgets the streams that nobody writes to any more, once everything of theirs is sent. */
  keepOnly(targets: readonly LogTarget[]): void {
    const kept = new Set(targets.map(keyOf))
    for (const [key, sender] of this.#senders) {
      if (!kept.has(key) && sender.isIdle) this.#senders.delete(key)
    }
  }

  retryNow(): void {
    for (const sender of this.#senders.values()) sender.retryNow()
  }

  async drain(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#senders.values()].map((sender) => sender.drain(signal)))
  }

  /** Resolves when no batch is in flight. */
  async settled(): Promise<void> {
    await Promise.all([...this.#senders.values()].map((sender) => sender.settled()))
  }

  #nameOf({ group, stream }: LogTarget): string {
    return group === this.#deps.group ? `stream ${stream}` : `stream ${stream} of ${group}`
  }
}

/** No group name holds a line break. */
function keyOf({ group, stream }: LogTarget): string {
  return `${group}\n${stream}`
}
