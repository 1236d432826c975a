import * as z from 'zod'

import type { DeliveredSource, LogSourceContext } from '../../../agent/logs/delivered-source.ts'
import type { LogTarget } from '../../../agent/logs/log-destination.ts'
import type { EventSinks } from '../../../agent/logs/log-source.ts'
import { sourceEvent } from './source-events.ts'

const positionSchema = z.strictObject({ position: z.int() }).optional()

/** A source in memory, such as a journal is one: lines with positions, of which those from the accepted one on count. */
export class FakeLogSource implements DeliveredSource {
  readonly lines: string[] = []
  coversOwnLog = false
  mayCoverOwnLog = false
  /** How long ago its events say that they happened. */
  ageMs = 0
  isHealthy = true
  failure: Error | undefined
  isDisposed = false
  readonly #target: LogTarget
  #read: number
  #accepted: number

  constructor(target: LogTarget, { positions }: Pick<LogSourceContext, 'positions'>) {
    this.#target = target
    this.#read = this.#accepted = positionSchema.parse(positions.journal)?.position ?? 0
  }

  get hasMore(): boolean {
    return this.#read < this.lines.length
  }

  get targets(): readonly LogTarget[] {
    return [this.#target]
  }

  get positions(): { readonly journal: unknown } {
    return { journal: { position: this.#accepted } }
  }

  read(sinks: EventSinks): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    const sink = sinks.of(this.#target)
    for (; this.hasMore && !sink.isFull; this.#read += 1) {
      const position = this.#read + 1
      const atMs = performance.now()
      const times = { atMs, statedMs: Date.now() - this.ageMs, wallOffsetMs: Date.now() - atMs }
      sink.offer(sourceEvent(this.lines[this.#read] ?? '', { ...times, origin: this, position }))
    }
    return Promise.resolve()
  }

  accepted(position: number): void {
    this.#accepted = position
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    return []
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.isDisposed = true
    return Promise.resolve()
  }
}
