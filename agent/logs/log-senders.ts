import { putLogEventsLimits } from './log-batch.ts'
import { LogStreamSender, type LogStreamSenderDeps } from './log-stream-sender.ts'

/** All streams read ahead this much together, and each at least `minShareBytes`, so that none starves another. */
const readAheadBytes = 4 * 1_048_576
const minShareBytes = 16_384

/** One sender per stream, made when it is first asked for. */
export class LogSenders {
  readonly #deps: Omit<LogStreamSenderDeps, 'target'> & { readonly group: string }
  readonly #senders = new Map<string, LogStreamSender>()

  constructor(deps: Omit<LogStreamSenderDeps, 'target'> & { readonly group: string }) {
    this.#deps = deps
  }

  /** How much one stream may hold: a batch, or less when there are many streams. */
  get shareBytes(): number {
    const fairBytes = Math.floor(readAheadBytes / Math.max(1, this.#senders.size))
    return Math.max(minShareBytes, Math.min(fairBytes, putLogEventsLimits.maxBytes))
  }

  of(stream: string): LogStreamSender {
    const { group, ...deps } = this.#deps
    const sender = this.#senders.get(stream) ?? new LogStreamSender({ ...deps, target: { group, stream } })
    this.#senders.set(stream, sender)
    return sender
  }

  find(stream: string): LogStreamSender | undefined {
    return this.#senders.get(stream)
  }

  due(): readonly LogStreamSender[] {
    return [...this.#senders.values()].filter((sender) => sender.isDue(this.shareBytes))
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    return [...this.#senders]
      .filter(([, sender]) => sender.lastError !== undefined)
      .map(([stream, sender]) => ({ what: `stream ${stream}`, error: sender.lastError }))
  }

  /** Forgets the streams that nobody writes to any more, once everything of theirs is sent. */
  keepOnly(streams: readonly string[]): void {
    const kept = new Set(streams)
    for (const [stream, sender] of this.#senders) {
      if (!kept.has(stream) && sender.isIdle) this.#senders.delete(stream)
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
}
