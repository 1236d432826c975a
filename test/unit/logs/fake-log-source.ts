import type { DeliveredSource, LogSourceContext } from '../../../agent/logs/delivered-source.ts'
import type { LogTarget } from '../../../agent/logs/log-destination.ts'
import type { EventSinks } from '../../../agent/logs/log-source.ts'
import { sourceEvent } from './source-events.ts'

/** A source in memory, such as a journal is one: lines with positions, of which those from the accepted one on count. */
export class FakeLogSource implements DeliveredSource {
  readonly lines: string[] = []
  coversOwnLog = false
  isHealthy = true
  failure: Error | undefined
  isDisposed = false
  readonly #target: LogTarget
  readonly #context: LogSourceContext
  #read: number | undefined
  #accepted = 0

  constructor(target: LogTarget, context: LogSourceContext) {
    this.#target = target
    this.#context = context
  }

  get hasMore(): boolean {
    return (this.#read ?? 0) < this.lines.length
  }

  get targets(): readonly LogTarget[] {
    return [this.#target]
  }

  get positions(): { readonly journal: readonly unknown[] } {
    return { journal: [{ position: this.#accepted }] }
  }

  async read(sinks: EventSinks): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    if (this.#read === undefined) {
      const { journal } = await this.#context.loadPositions()
      this.#read = this.#accepted = (journal[0] as { position: number } | undefined)?.position ?? 0
    }
    const sink = sinks.of(this.#target)
    for (; this.hasMore && !sink.isFull; this.#read += 1) {
      const position = this.#read + 1
      sink.offer(sourceEvent(this.lines[this.#read] ?? '', { atMs: performance.now(), origin: this, position }))
    }
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
