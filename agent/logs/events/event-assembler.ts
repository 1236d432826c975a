import { LineSplitter, type Line } from './line-splitter.ts'
import { maxMessageBytes } from '../delivery/log-batch.ts'
import { EventView, type EventOrigin, type SourceEvent } from './source-event.ts'
import type { TextSlab } from './text-slab.ts'
import type { TimestampReader } from './timestamp-reader.ts'

/** How the lines of a file become events. */
export interface LineReading {
  /** Reads the time that a line states. Default: none does. */
  readonly timestamps?: TimestampReader
  /** Lines that belong together become one event, joined by line feeds. Default: each is one. */
  readonly multiLine?: MultiLine
}

export interface MultiLine {
  /** Whether an event begins with this line. Asked about its first 1,024 characters. */
  readonly isFirst: (line: string) => boolean
  readonly maxLines: number
}

export interface EventAssemblerOptions extends LineReading {
  /** Where in the file the first byte comes from. */
  readonly positionBytes: number
  /** Whether the byte before is one of the same line. */
  readonly isMidLine?: boolean
  /** Default: what CloudWatch takes. */
  readonly maxEventBytes?: number
  readonly origin: EventOrigin
}

/** When bytes were read, and what is known of when they were written. */
export interface ReadMoment {
  /** On the monotonic clock. */
  readonly atMs: number
  /** The device's clock minus the monotonic clock when a line was written, by its start and the time it states, if it does; undefined when that is not known. */
  readonly offsetMsOf: (startBytes: number, statedMs?: number) => number | undefined
  /** Where the bytes are: events may be left there. Default: they are free again after the call. */
  readonly slab?: TextSlab | undefined
}

/** An event is good until it returns; to be kept longer it is to be copied (`keptEvent`). */
export type EventReceiver = (event: SourceEvent) => void

const patternLength = 1_024
const longAgo: ReadMoment = { atMs: 0, offsetMsOf: () => undefined }

/**
 * Makes events of the bytes of one file. An event's position is right after it; `positionBytes` never passes a line
 * that waits for its end, or for more lines of its event. An event that is ended for its number of lines or bytes is followed by one
 * that no first line begins. A line that states no time has that of the line before.
 */
export class EventAssembler {
  readonly #splitter: LineSplitter
  readonly #maxEventBytes: number
  readonly #origin: EventOrigin
  readonly #timestamps: TimestampReader | undefined
  readonly #multiLine: MultiLine | undefined
  /** Of one event that is not ended. */
  #group: Line[] = []
  #groupBytes = 0
  #moment = longAgo
  /** NaN where none is. */
  #statedMs = NaN
  #statedOffsetMs: number | undefined
  readonly #view = new EventView()

  constructor({ positionBytes, isMidLine = false, maxEventBytes, origin, ...reading }: EventAssemblerOptions) {
    this.#maxEventBytes = maxEventBytes ?? maxMessageBytes
    this.#splitter = new LineSplitter({ positionBytes, isMidLine, maxLineBytes: this.#maxEventBytes })
    this.#origin = origin
    this.#timestamps = reading.timestamps
    this.#multiLine = reading.multiLine
  }

  /** Where reading would start again when all events so far are accepted. */
  get positionBytes(): number {
    return this.#group[0]?.startBytes ?? this.#splitter.positionBytes
  }

  /** What waits for a line break, or for more lines. */
  get pendingBytes(): number {
    return this.#splitter.pendingBytes + this.#groupBytes
  }

  /** Whether an event waits for more lines. */
  get isGroupOpen(): boolean {
    return this.#group.length > 0
  }

  /** Takes the bytes that follow, telling `each` of the events that end there. */
  push(chunk: Uint8Array, moment: ReadMoment, each: EventReceiver): void {
    this.#moment = moment
    const take = (line: Line): void => {
      this.#take(line, each)
    }
    const { slab } = moment
    if (slab === undefined || this.#multiLine !== undefined) {
      this.#splitter.push(chunk, take)
      return
    }
    this.#splitter.push(chunk, take, {
      slab,
      each: (startBytes, start, end) => {
        each(this.#viewOf(slab, startBytes, { start, end }))
      },
    })
  }

  /** Ends the partial line, and the event that it belongs to. Call it until nothing is pending. */
  flush(each: EventReceiver): void {
    this.#splitter.flush((line) => {
      this.#take(line, each)
    })
    this.endGroup(each)
  }

  /** Ends the event that waits for more lines. */
  endGroup(each: EventReceiver): void {
    const [first] = this.#group
    const last = this.#group.at(-1)
    if (first === undefined || last === undefined) return
    const text = this.#group.length === 1 ? first.text : this.#group.map((line) => line.text).join('\n')
    const event = this.#eventOf(first, { text, textBytes: this.#groupBytes - 1, endBytes: last.endBytes })
    this.#group = []
    this.#groupBytes = 0
    each(event)
  }

  /** The lines that follow belong to another time: they do not have that of the line before. */
  forgetTime(): void {
    this.#statedMs = NaN
    this.#statedOffsetMs = undefined
  }

  #take(line: Line, each: EventReceiver): void {
    if (this.#multiLine === undefined) each(this.#eventOf(line, line))
    else this.#join(line, this.#multiLine, each)
  }

  #join(line: Line, { isFirst, maxLines }: MultiLine, each: EventReceiver): void {
    const isNew = isFirst(line.text.slice(0, patternLength))
    if (isNew || this.#groupBytes + line.textBytes > this.#maxEventBytes) this.endGroup(each)
    this.#group.push(line)
    this.#groupBytes += line.textBytes + 1
    if (line.isCut || this.#group.length >= maxLines) this.endGroup(each)
  }

  #eventOf(first: Line, { text, textBytes, endBytes }: Pick<Line, 'text' | 'textBytes' | 'endBytes'>): SourceEvent {
    this.#noteTime(first.startBytes, this.#timestamps?.read(first.text, this.#clockMsAt(first.startBytes)))
    return {
      message: text,
      messageBytes: textBytes,
      atMs: this.#moment.atMs,
      statedMs: Number.isNaN(this.#statedMs) ? undefined : this.#statedMs,
      wallOffsetMs: this.#statedOffsetMs,
      level: undefined,
      origin: this.#origin,
      position: endBytes,
    }
  }

  /** A line that stays where it is. */
  #viewOf(slab: TextSlab, startBytes: number, { start, end }: { start: number; end: number }): SourceEvent {
    this.#noteTime(startBytes, this.#timestamps?.readAt(slab.bytes, start, this.#clockMsAt(startBytes)))
    const view = this.#view
    view.slab = slab
    view.slabStart = start
    view.messageBytes = end - start
    view.atMs = this.#moment.atMs
    view.stated = this.#statedMs
    view.wallOffsetMs = this.#statedOffsetMs
    view.origin = this.#origin
    view.position = this.#splitter.positionBytes
    return view
  }

  #noteTime(startBytes: number, statedMs: number | undefined): void {
    if (statedMs === undefined) return
    this.#statedMs = statedMs
    this.#statedOffsetMs = this.#moment.offsetMsOf(startBytes, statedMs)
  }

  #clockMsAt(startBytes: number): number | undefined {
    const { atMs, offsetMsOf } = this.#moment
    const offsetMs = offsetMsOf(startBytes)
    return offsetMs === undefined ? undefined : offsetMs + atMs
  }
}
