import type { LogLine } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { printableText } from './events/printable-text.ts'

export interface RingLine {
  readonly text: string
  readonly textBytes: number
  /** False for what can wait: levels below warn. */
  readonly urgent: boolean
  /** When it was logged, on the monotonic clock. */
  readonly atMs: number
}

export interface LogRingOptions {
  /** Default 2,000. */
  readonly maxLines?: number
  /** Of the texts in UTF-8; default 1 MiB. */
  readonly maxBytes?: number
}

const maxTextLength = 65_536

/**
 * The agent's own log on its way to the cloud: bounded in memory, on no disk. When it is full the oldest lines go
 * and are counted.
 */
export class LogRing {
  readonly #maxLines: number
  readonly #maxBytes: number
  #lines: RingLine[] = []
  #bytes = 0
  #dropped = 0

  constructor({ maxLines = 2_000, maxBytes = 1_048_576 }: LogRingOptions = {}) {
    this.#maxLines = maxLines
    this.#maxBytes = maxBytes
  }

  /** To be handed to createLog. A text over 65,536 UTF-16 units is cut. */
  readonly sink = ({ level, text }: LogLine): void => {
    if (text === '') return
    const shown = printableText(text.slice(0, maxTextLength))
    const line = {
      text: shown,
      textBytes: Buffer.byteLength(shown),
      urgent: level === 'warn' || level === 'error',
      atMs: monotonicMs(),
    }
    this.#lines.push(line)
    this.#bytes += line.textBytes
    while (this.#lines.length > this.#maxLines || this.#bytes > this.#maxBytes) this.#dropOldest()
  }

  /** What it holds, oldest first. */
  get lines(): readonly RingLine[] {
    return this.#lines
  }

  /** Whether what comes next may soon push out what is there. */
  get isHalfFull(): boolean {
    return this.#lines.length > this.#maxLines / 2 || this.#bytes > this.#maxBytes / 2
  }

  /** How many lines had to go since it was emptied, or ever. */
  get dropped(): number {
    return this.#dropped
  }

  get pendingBytes(): number {
    return this.#bytes
  }

  /**
   * Takes what was logged before, on the monotonic clock; default all. `dropped` lines came before the first that is left: they are
   * told with it.
   */
  take(beforeMs = Infinity): { readonly dropped: number; readonly lines: readonly RingLine[] } {
    const firstLater = this.#lines.findIndex(({ atMs }) => atMs >= beforeMs)
    const lines = this.#lines.splice(0, firstLater === -1 ? this.#lines.length : firstLater)
    if (lines.length === 0 && this.#lines.length > 0) return { dropped: 0, lines }
    const dropped = this.#dropped
    this.#bytes -= bytesOf(lines)
    this.#dropped = 0
    return { dropped, lines }
  }

  /** Puts lines back that were taken and not sent. They are older than any that is there now. */
  putBack(lines: readonly RingLine[]): void {
    this.#lines.unshift(...lines)
    this.#bytes += bytesOf(lines)
    while (this.#lines.length > this.#maxLines || this.#bytes > this.#maxBytes) this.#dropOldest()
  }

  #dropOldest(): void {
    this.#bytes -= this.#lines.shift()?.textBytes ?? 0
    this.#dropped += 1
  }
}

function bytesOf(lines: readonly RingLine[]): number {
  return lines.reduce((sum, { textBytes }) => sum + textBytes, 0)
}
