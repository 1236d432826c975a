import { monotonicMs } from '../lib/monotonic.ts'
import type { LogStreamSender } from './log-stream-sender.ts'

interface MetricsLine {
  readonly text: string
  readonly textBytes: number
  /** When it was offered, on the monotonic clock. */
  readonly atMs: number
}

const maxLines = 10

/** Metrics records on their way to the cloud. Of those that cannot be sent the newest are kept: old ones are history. */
export class MetricsQueue {
  #lines: readonly MetricsLine[] = []

  get isEmpty(): boolean {
    return this.#lines.length === 0
  }

  offer(text: string): void {
    const line = { text, textBytes: Buffer.byteLength(text), atMs: monotonicMs() }
    this.#lines = [...this.#lines, line].slice(-maxLines)
  }

  /** Hands all over, oldest first, but only when those before are sent: `sender` has no bound of its own. */
  handTo(sender: Pick<LogStreamSender, 'isIdle' | 'offer'>): void {
    if (!sender.isIdle) return
    for (const { text, textBytes, atMs } of this.#lines) {
      sender.offer({ message: text, messageBytes: textBytes, readAtMs: atMs, dueAtMs: atMs, endBytes: 0 })
    }
    this.#lines = []
  }
}
