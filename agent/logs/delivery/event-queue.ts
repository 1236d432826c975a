import { eventOverheadBytes } from './log-batch.ts'
import { EventView, isLeftOut, statedOrNaN, type SourceEvent } from '../events/source-event.ts'

/** What the events of one read have in common. */
type Kinship = Pick<SourceEvent, 'atMs' | 'wallOffsetMs' | 'level' | 'origin' | 'slab'>

const blockBits = 7
const blockLength = 1 << blockBits
const fields = 2

/**
 * Events of one stream in the order that they were offered in. Taking from the front costs what is taken, not what is
 * left. Held in columns: as objects they would be most of what the garbage collector has to move. Slabs are held as long
 * as events are in them.
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
  readonly #view = new EventView()

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
    this.#blocks[place >> blockBits]?.show(place & (blockLength - 1), this.#view)
    return this.#view
  }

  push(event: SourceEvent): void {
    const place = this.#start + this.#length
    let block = this.#blocks[place >> blockBits]
    if (block === undefined) {
      block = this.#spare.pop() ?? new EventBlock()
      this.#blocks.push(block)
    }
    if (this.#kinship === undefined || !isKin(event, this.#kinship)) {
      const { atMs, wallOffsetMs, level, origin, slab } = event
      this.#kinship = { atMs, wallOffsetMs, level, origin, slab }
    }
    block.set(place & (blockLength - 1), event, this.#kinship)
    event.slab?.hold()
    this.#length += 1
    this.#heldBytes += heldBytesOf(event)
  }

  /** Removes the first `count`, telling `each` of them; the event is good until `each` returns. */
  shift(count: number, each: (event: SourceEvent, index: number) => void): void {
    const taken = Math.min(count, this.#length)
    for (let index = 0; index < taken; index += 1) {
      const place = this.#start + index
      this.#blocks[place >> blockBits]?.take(place & (blockLength - 1), this.#view)
      this.#heldBytes -= heldBytesOf(this.#view)
      each(this.#view, index)
      this.#view.slab?.release()
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
  /** Of those that are not in a slab. */
  readonly #messages: string[] = []
  readonly #kinships: Kinship[] = []
  /** Position and stated time of each; NaN where none is stated. */
  readonly #numbers = new Float64Array(blockLength * fields)
  /** Bytes and place in the slab of each. */
  readonly #extents = new Int32Array(blockLength * fields)

  show(row: number, view: EventView): void {
    const kinship = this.#kinships[row]
    if (kinship === undefined) return
    const at = row * fields
    view.text = this.#messages[row] ?? ''
    view.position = this.#numbers[at] ?? 0
    view.stated = this.#numbers[at + 1] ?? NaN
    view.messageBytes = this.#extents[at] ?? 0
    view.slabStart = this.#extents[at + 1] ?? 0
    view.atMs = kinship.atMs
    view.wallOffsetMs = kinship.wallOffsetMs
    view.level = kinship.level
    view.origin = kinship.origin
    view.slab = kinship.slab
  }

  set(row: number, event: SourceEvent, kinship: Kinship): void {
    const at = row * fields
    this.#messages[row] = event.slab === undefined ? event.message : ''
    this.#kinships[row] = kinship
    this.#numbers[at] = event.position
    this.#numbers[at + 1] = statedOrNaN(event)
    this.#extents[at] = event.messageBytes
    this.#extents[at + 1] = event.slabStart ?? 0
  }

  /** Its message is not kept alive by the others of the block. */
  take(row: number, view: EventView): void {
    this.show(row, view)
    this.#messages[row] = ''
  }
}

function isKin(event: SourceEvent, { atMs, wallOffsetMs, level, origin, slab }: Kinship): boolean {
  const isOneRead = event.atMs === atMs && event.origin === origin && event.slab === slab
  return isOneRead && event.wallOffsetMs === wallOffsetMs && event.level === level
}

function heldBytesOf(event: SourceEvent): number {
  return (isLeftOut(event) ? 0 : event.messageBytes) + eventOverheadBytes
}
