import type { EventColumns, EventSlab } from '../logs/log-destination.ts'

const openingBracket = 0x5b
const closingBracket = 0x5d
const comma = 0x2c
const quote = 0x22
const backslash = 0x5c
const tab = 0x09
const letterT = 0x74
const closingBrace = 0x7d
const tailBytes = '"}]'.length
const zero = 0x30

/** Times of 2001 to 2286 have as many digits. */
const timeDigits = 13
const minTimeMs = 1_000_000_000_000
const maxTimeMs = 9_999_999_999_999
const eventHead = `,{"timestamp":${'0'.repeat(timeDigits)},"message":"`
const lowLength = 6
const lowUnits = 1_000_000
const timeEnd = eventHead.indexOf('0') + timeDigits
const maxHeadBytes = 64
/** The most that one byte of ASCII without control characters but tabs becomes. */
const maxEscapedBytes = 2

/** JSON in UTF-8 with an array of log events that it ends with, written into memory as long as that lasts, then into more. */
export class JsonBytes {
  #buffer: Buffer
  #length = 0
  /** Of the last event with a time of so many digits. */
  readonly #head = Buffer.from(eventHead)
  /** Its time, in two small numbers: each of one large one would be an object. */
  #highDigits = 0
  #lowDigits = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Adds items to the array of JSON that it ends with. */
  appendToArray(items: readonly object[]): void {
    if (items.length === 0) return
    const end = this.#length - 1
    const isEmpty = this.#buffer[end - 1] === openingBracket
    this.#length = isEmpty ? end - 1 : end
    this.append(JSON.stringify(items))
    if (!isEmpty) this.#buffer[end] = comma // in the place of the opening bracket
  }

  append(text: string): void {
    this.#makeRoom(Buffer.byteLength(text))
    this.#length += this.#buffer.write(text, this.#length)
  }

  /** Adds an event, whose message is in `slab`, to the array of JSON that it ends with. */
  appendEvent(events: EventColumns, index: number, { bytes, isVerbatim }: EventSlab): void {
    const length = events.messageBytes(index)
    this.#makeRoom(maxHeadBytes + (isVerbatim ? length : length * maxEscapedBytes) + tailBytes)
    this.#appendHead(events, index)
    const start = events.slabStart(index)
    if (isVerbatim) this.#length += bytes.copy(this.#buffer, this.#length, start, start + length)
    else this.#appendEscaped(bytes, start, start + length)
    this.#buffer[this.#length] = quote
    this.#buffer[this.#length + 1] = closingBrace
    this.#buffer[this.#length + 2] = closingBracket
    this.#length += tailBytes
  }

  /** Opens the array for an event, up to the quotation mark before its message. */
  #appendHead(events: EventColumns, index: number): void {
    const timestampMs = events.timestampMs(index)
    this.#length -= 1 // the closing bracket
    const isFirst = this.#buffer[this.#length - 1] === openingBracket
    if (timestampMs < minTimeMs || timestampMs > maxTimeMs) {
      const head = `${isFirst ? '' : ','}{"timestamp":${timestampMs},"message":"`
      this.#length += this.#buffer.write(head, this.#length)
      return
    }
    this.#setTime(timestampMs)
    this.#length += this.#head.copy(this.#buffer, this.#length, isFirst ? 1 : 0)
  }

  /** ASCII without control characters other than tabs. */
  #appendEscaped(bytes: Buffer, start: number, end: number): void {
    const buffer = this.#buffer
    let length = this.#length
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] ?? 0
      if (byte === quote || byte === backslash || byte === tab) buffer[length++] = backslash
      buffer[length++] = byte === tab ? letterT : byte
    }
    this.#length = length
  }

  #setTime(timestampMs: number): void {
    const highDigits = Math.floor(timestampMs / lowUnits)
    const lowDigits = timestampMs - highDigits * lowUnits
    if (lowDigits !== this.#lowDigits) this.#setDigits(timeEnd, lowDigits, this.#lowDigits)
    if (highDigits !== this.#highDigits) this.#setDigits(timeEnd - lowLength, highDigits, this.#highDigits)
    this.#highDigits = highDigits
    this.#lowDigits = lowDigits
  }

  /** Writes those digits of a number that ends in the head before `end` in which it differs from the one that is there. */
  #setDigits(end: number, value: number, there: number): void {
    let left = value
    let before = there
    for (let at = end - 1; left !== before; at -= 1) {
      const tens = (left / 10) | 0
      this.#head[at] = zero + left - tens * 10
      before = (before / 10) | 0
      left = tens
    }
  }

  #makeRoom(bytes: number): void {
    const length = this.#length + bytes
    if (length <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.ceil(length * 1.5))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}
