import { eventOverheadBytes } from './log-batch.ts'
import type { SourceEvent } from './source-event.ts'

const compactFrom = 4_096

/** Events of one stream in the order that they were offered in. Taking from the front costs what is taken, not what is left. */
export class EventQueue {
  #events: SourceEvent[] = []
  #start = 0
  #heldBytes = 0

  get length(): number {
    return this.#events.length - this.#start
  }

  /** As PutLogEvents counts them. An event without its message, which is left out, counts as an empty one. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  at(index: number): SourceEvent | undefined {
    return this.#events[this.#start + index]
  }

  push(event: SourceEvent): void {
    this.#events.push(event)
    this.#heldBytes += heldBytesOf(event)
  }

  /** Removes the first `count`, telling `each` of them. */
  shift(count: number, each: (event: SourceEvent) => void): void {
    const end = Math.min(this.#start + count, this.#events.length)
    for (let index = this.#start; index < end; index += 1) {
      const event = this.#events[index]
      if (event === undefined) continue
      this.#heldBytes -= heldBytesOf(event)
      each(event)
    }
    this.#start = end
    if (this.#start < compactFrom && this.#start < this.#events.length) return
    this.#events = this.#events.slice(this.#start)
    this.#start = 0
  }
}

function heldBytesOf({ message, messageBytes }: SourceEvent): number {
  return (message === '' ? 0 : messageBytes) + eventOverheadBytes
}
