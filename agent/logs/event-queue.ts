import { eventOverheadBytes } from './log-batch.ts'
import type { SourceEvent } from './source-event.ts'

/** What the events of one read have in common. */
type Kinship = Pick<SourceEvent, 'atMs' | 'wallOffsetMs' | 'level' | 'origin'>

type EventView = { -readonly [Key in keyof SourceEvent]: SourceEvent[Key] }

const blockLength = 128
const fields = 3

/**
 * Events of one stream in the order that they were offered in. Taking from the front costs what is taken, not what is
 * left. Held in columns: as objects they would be most of what the garbage collector has to move.
 */
export class EventQueue {
  #blocks: EventBlock[] = []
  /** To be used again, while there are events. */
  #spare: EventBlock[] = []
  /** Of the first event, in the first block. */
  #start = 0
  #length = 0
  #heldBytes = 0
  #kinship: Kinship | undefined
  /** What is answered, so that going over the events allocates nothing. */
  readonly #view: EventView = {
    message: '',
    messageBytes: 0,
    atMs: 0,
    statedMs: undefined,
    wallOffsetMs: undefined,
    level: undefined,
    origin: undefined,
    position: 0,
  }

  get length(): number {
    return this.#length
  }

  /** As PutLogEvents counts them. An event without its message, which is left out, counts as an empty one. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Good until the next call of `at` or `shift`. */
  at(index: number): SourceEvent | undefined {
    if (index < 0 || index >= this.#length) return undefined
    const place = this.#start + index
    this.#blocks[Math.floor(place / blockLength)]?.show(place % blockLength, this.#view)
    return this.#view
  }

  push(event: SourceEvent): void {
    const place = this.#start + this.#length
    const row = place % blockLength
    let block = this.#blocks[Math.floor(place / blockLength)]
    if (block === undefined) {
      block = this.#spare.pop() ?? new EventBlock()
      this.#blocks.push(block)
    }
    if (this.#kinship === undefined || !isKin(event, this.#kinship)) {
      const { atMs, wallOffsetMs, level, origin } = event
      this.#kinship = { atMs, wallOffsetMs, level, origin }
    }
    block.set(row, event, this.#kinship)
    this.#length += 1
    this.#heldBytes += heldBytesOf(event)
  }

  /** Removes the first `count`, telling `each` of them; the event is good until `each` returns. */
  shift(count: number, each: (event: SourceEvent, index: number) => void): void {
    const taken = Math.min(count, this.#length)
    for (let index = 0; index < taken; index += 1) {
      const place = this.#start + index
      this.#blocks[Math.floor(place / blockLength)]?.take(place % blockLength, this.#view)
      this.#heldBytes -= heldBytesOf(this.#view)
      each(this.#view, index)
    }
    this.#length -= taken
    const end = this.#start + taken
    this.#spare.push(...this.#blocks.splice(0, Math.floor(end / blockLength)))
    this.#start = end % blockLength
    if (this.#length > 0) return
    this.#blocks = []
    this.#spare = []
    this.#start = 0
    this.#kinship = undefined
  }
}

/** Some events in a row. */
class EventBlock {
  readonly #messages: string[] = []
  readonly #kinships: Kinship[] = []
  /** Bytes, position and stated time of each; NaN where none is stated. */
  readonly #numbers = new Float64Array(blockLength * fields)

  show(row: number, view: EventView): void {
    const kinship = this.#kinships[row]
    const statedMs = this.#numbers[row * fields + 2]
    view.message = this.#messages[row] ?? ''
    view.messageBytes = this.#numbers[row * fields] ?? 0
    view.position = this.#numbers[row * fields + 1] ?? 0
    view.statedMs = Number.isNaN(statedMs) ? undefined : statedMs
    view.atMs = kinship?.atMs ?? 0
    view.wallOffsetMs = kinship?.wallOffsetMs
    view.level = kinship?.level
    view.origin = kinship?.origin
  }

  set(row: number, { message, messageBytes, position, statedMs = NaN }: SourceEvent, kinship: Kinship): void {
    this.#messages[row] = message
    this.#kinships[row] = kinship
    this.#numbers[row * fields] = messageBytes
    this.#numbers[row * fields + 1] = position
    this.#numbers[row * fields + 2] = statedMs
  }

  /** Its message is not kept alive by the others of the block. */
  take(row: number, view: EventView): void {
    this.show(row, view)
    this.#messages[row] = ''
  }
}

function isKin(event: SourceEvent, { atMs, wallOffsetMs, level, origin }: Kinship): boolean {
  const isOneRead = event.atMs === atMs && event.origin === origin
  return isOneRead && event.wallOffsetMs === wallOffsetMs && event.level === level
}

function heldBytesOf({ message, messageBytes }: SourceEvent): number {
  return (message === '' ? 0 : messageBytes) + eventOverheadBytes
}
