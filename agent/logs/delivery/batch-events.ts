import type { EventColumns, LogEvent, LogEvents } from '../log-destination.ts'
import type { SourceEvent } from '../events/source-event.ts'
import type { TextSlab } from '../events/text-slab.ts'

/** The events of one batch, in columns. Those in slabs stay there. */
export class BatchEvents implements LogEvents, EventColumns {
  #length = 0
  #timestamps: Float64Array
  #bytes: Int32Array
  #starts: Int32Array
  /** Which of the texts has the message. */
  #texts: Uint16Array
  /** Messages, and slabs with many of them. */
  readonly #distinct: (string | TextSlab)[] = []

  /** `most`: how many there is room for, at most 65,535. */
  constructor(most: number) {
    this.#timestamps = new Float64Array(most)
    this.#bytes = new Int32Array(most)
    this.#starts = new Int32Array(most)
    this.#texts = new Uint16Array(most)
  }

  get length(): number {
    return this.#length
  }

  get columns(): EventColumns {
    return this
  }

  timestampMs(index: number): number {
    return this.#timestamps[index] ?? 0
  }

  messageBytes(index: number): number {
    return this.#bytes[index] ?? 0
  }

  message(index: number): string {
    const text = this.#textOf(index)
    return typeof text === 'string' ? text : text.textAt(this.slabStart(index), this.messageBytes(index))
  }

  slab(index: number): TextSlab | undefined {
    const text = this.#textOf(index)
    return typeof text === 'string' ? undefined : text
  }

  slabStart(index: number): number {
    return this.#starts[index] ?? 0
  }

  add(timestampMs: number, event: SourceEvent): void {
    const at = this.#length
    this.#timestamps[at] = timestampMs
    this.#bytes[at] = event.messageBytes
    this.#starts[at] = event.slabStart ?? 0
    this.#addText(event.slab ?? event.message)
  }

  addText(timestampMs: number, message: string): void {
    this.#timestamps[this.#length] = timestampMs
    this.#bytes[this.#length] = Buffer.byteLength(message)
    this.#addText(message)
  }

  /** By time; those of the same time stay in their order. */
  sort(): void {
    const order = new Uint32Array(this.#length).map((_, index) => index)
    order.sort((one, other) => this.timestampMs(one) - this.timestampMs(other) || one - other)
    this.#timestamps = Float64Array.from(order, (index) => this.timestampMs(index))
    this.#bytes = Int32Array.from(order, (index) => this.messageBytes(index))
    this.#starts = Int32Array.from(order, (index) => this.slabStart(index))
    this.#texts = Uint16Array.from(order, (index) => this.#texts[index] ?? 0)
  }

  *[Symbol.iterator](): Generator<LogEvent> {
    for (let index = 0; index < this.#length; index += 1) {
      yield { timestampMs: this.timestampMs(index), message: this.message(index) }
    }
  }

  #textOf(index: number): string | TextSlab {
    return this.#distinct[this.#texts[index] ?? 0] ?? ''
  }

  /** Ends an event; the slab is the one of the event before as a rule. */
  #addText(text: string | TextSlab): void {
    if (typeof text === 'string' || this.#distinct.at(-1) !== text) this.#distinct.push(text)
    this.#texts[this.#length] = this.#distinct.length - 1
    this.#length += 1
  }
}
