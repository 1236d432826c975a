import {
  characterBoundary,
  findLineBreaks,
  incompleteTailBytes,
  isPlainRange,
  isPlainText,
  printableText,
} from './printable-text.ts'
import type { TextSlab } from './text-slab.ts'

/** A line of a file, or a piece of one that is too long. */
export interface Line {
  /** Printable, not empty, without its line break. */
  readonly text: string
  /** Of the text in UTF-8. */
  readonly textBytes: number
  /** Where in the file it begins. */
  readonly startBytes: number
  /** The position in the file right after the line and its line break. */
  readonly endBytes: number
  /** Whether it begins in the middle of a line of the file. */
  readonly isRest: boolean
  /** Whether it ends where there is no room for more of the same line. */
  readonly isCut: boolean
}

export interface LineSplitterOptions {
  /** Where in the file the first byte comes from. */
  readonly positionBytes: number
  /** Whether the byte before is one of the same line. */
  readonly isMidLine?: boolean
  /** Of a line's text in UTF-8, at least 48: a longer one is split, between characters. */
  readonly maxLineBytes: number
}

export type LineReceiver = (line: Line) => void

/** Whole lines that are plain text and stay where they are, in memory that outlives the call if it is held. */
export interface SlabLines {
  readonly slab: TextSlab
  /** A line is at `start` to `end` in the slab. It begins at `startBytes` in the file, and ends at the splitter's position. */
  readonly each: (startBytes: number, start: number, end: number) => void
}

const nothing: Buffer = Buffer.alloc(0)
const lineFeed = 0x0a
const carriageReturn = 0x0d
/** They depend on nothing but the place in the file, so that reading on from anywhere gives the same pieces. */
const restMark = '[continued]\u2026'
const cutMark = '\u2026[continues]'
const markBytes = Buffer.byteLength(restMark)

/**
 * Makes lines of bytes. The lines and their positions do not depend on how the bytes are cut into chunks. Empty
 * lines only move the position. Bytes that are not UTF-8 become replacement characters. A line that is too long is
 * split: each piece but the last ends with `…[continues]`, each but the first begins with `[continued]…`.
 */
export class LineSplitter {
  readonly #maxLineBytes: number
  #positionBytes: number
  #isMidLine: boolean
  #rest: Buffer = nothing

  constructor({ positionBytes, isMidLine = false, maxLineBytes }: LineSplitterOptions) {
    this.#positionBytes = positionBytes
    this.#isMidLine = isMidLine
    this.#maxLineBytes = maxLineBytes
  }

  /** The position right after the last line that ended: where reading would start again. */
  get positionBytes(): number {
    return this.#positionBytes
  }

  /** What was pushed and waits for its line break. Hardly more than the longest line. */
  get pendingBytes(): number {
    return this.#rest.length
  }

  /**
   * Takes the bytes that follow, telling `each` of the lines that end there, but `inSlab` of those that can stay in the
   * slab that the bytes are in. Keeps a copy of what is left.
   */
  push(chunk: Uint8Array, each: LineReceiver, inSlab?: SlabLines): void {
    const bytes = this.#endRest(bufferOf(chunk), each)
    if (bytes.length === 0) return
    const start =
      inSlab !== undefined
        ? this.#takeInSlab(bytes, each, inSlab)
        : isPlainText(bytes)
          ? this.#takePlain(bytes, each)
          : this.#takeAny(bytes, each)
    this.#rest = start === bytes.length ? nothing : Buffer.from(bytes.subarray(start))
  }

  /** Ends the pending line without its break, but not inside a character unless that is all there is. */
  flush(each: LineReceiver): void {
    if (this.#rest.length === 0) return
    const whole = this.#rest.length - incompleteTailBytes(this.#rest)
    const end = whole === 0 ? this.#rest.length : whole
    const start = this.#takeLine(this.#rest, { start: 0, end, usedEnd: end }, each)
    this.#rest = this.#rest.subarray(start)
    this.#isMidLine ||= start > 0
  }

  /** Goes on with the pending line, and answers what follows it. */
  #endRest(bytes: Buffer, each: LineReceiver): Buffer {
    if (this.#rest.length === 0) return bytes
    const end = bytes.indexOf(lineFeed) + 1
    const joined = Buffer.concat([this.#rest, end === 0 ? bytes : bytes.subarray(0, end)])
    const { length } = joined
    if (end > 0) this.#takeLine(joined, { start: 0, end: length - 1, usedEnd: length }, each)
    const rest = end > 0 ? nothing : joined.subarray(this.#takeTooLong(joined, 0, each))
    // A small rest must not keep the large memory alive that it came in.
    this.#rest = rest.length * 4 < length ? Buffer.from(rest) : rest
    return end === 0 ? nothing : bytes.subarray(end)
  }

  /** Bytes that are text as they are; the lines are cut out of one string. Answers where the rest begins. */
  #takePlain(bytes: Buffer, each: LineReceiver): number {
    const text = bytes.toString('latin1')
    const base = this.#positionBytes
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      const textBytes = end - start
      if (this.#isMidLine || textBytes > this.#maxLineBytes) {
        this.#takeLine(bytes, { start, end, usedEnd: end + 1 }, each)
      } else if (textBytes > 0) {
        const line = text.slice(start, end)
        const endBytes = base + end + 1
        each({ text: line, textBytes, startBytes: base + start, endBytes, isRest: false, isCut: false })
      }
      start = end + 1
      this.#positionBytes = base + start
    }
    return this.#takeTooLong(bytes, start, each)
  }

  #takeInSlab(bytes: Buffer, each: LineReceiver, { slab, each: tell }: SlabLines): number {
    const { breaks } = slab
    const shift = bytes.byteOffset - slab.bytes.byteOffset
    const base = this.#positionBytes
    const count = findLineBreaks(bytes, breaks)
    if (count < 0) return this.#takeMixed(bytes, each, { slab, each: tell })
    let start = 0
    for (let at = 0; at < count; at += 1) {
      const end = breaks[at] ?? 0
      if (this.#isMidLine || end - start > this.#maxLineBytes) {
        this.#takeLine(bytes, { start, end, usedEnd: end + 1 }, each)
      } else {
        this.#positionBytes = base + end + 1
        if (end > start) tell(base + start, shift + start, shift + end)
      }
      start = end + 1
    }
    return this.#takeTooLong(bytes, start, each)
  }

  /** Bytes of which only some lines are plain text. */
  #takeMixed(bytes: Buffer, each: LineReceiver, { slab, each: tell }: SlabLines): number {
    const shift = bytes.byteOffset - slab.bytes.byteOffset
    let start = 0
    for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, start)) {
      const textEnd = end > start && bytes[end - 1] === carriageReturn ? end - 1 : end
      const isShort = textEnd - start <= this.#maxLineBytes && !this.#isMidLine
      if (isShort && isPlainRange(bytes, start, textEnd)) {
        const startBytes = this.#positionBytes
        this.#positionBytes += end + 1 - start
        if (textEnd > start) tell(startBytes, shift + start, shift + textEnd)
      } else this.#takeLine(bytes, { start, end, usedEnd: end + 1 }, each)
      start = end + 1
    }
    return this.#takeTooLong(bytes, start, each)
  }

  #takeAny(bytes: Buffer, each: LineReceiver): number {
    let start = 0
    for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, start)) {
      this.#takeLine(bytes, { start, end, usedEnd: end + 1 }, each)
      start = end + 1
    }
    return this.#takeTooLong(bytes, start, each)
  }

  /** Pieces of a line whose end is not there yet. Two bytes more could be its line break. */
  #takeTooLong(bytes: Buffer, lineStart: number, each: LineReceiver): number {
    let start = lineStart
    while (bytes.length - start >= this.#maxLineBytes + 2) {
      start += this.#takePiece(bytes.subarray(start), each)
    }
    return start
  }

  /** A line of which the end is there, in as many pieces as it needs. Answers where it ended. */
  #takeLine(bytes: Buffer, line: { start: number; end: number; usedEnd: number }, each: LineReceiver): number {
    const { start, usedEnd } = line
    const end = bytes[line.end - 1] === carriageReturn && line.end > start ? line.end - 1 : line.end
    const startBytes = this.#positionBytes
    for (let at = start; at < end;) {
      const content = bytes.subarray(at, end)
      const endBytes = startBytes + usedEnd - start
      if (content.length <= this.#maxLineBytes && this.#takeWhole(content, endBytes, each)) break
      at += this.#takePiece(content, each)
    }
    this.#positionBytes = startBytes + usedEnd - start
    this.#isMidLine = false
    return usedEnd
  }

  /** Takes what is left of a line if that is short enough. */
  #takeWhole(content: Buffer, endBytes: number, each: LineReceiver): boolean {
    const isRest = this.#isMidLine
    const text = `${isRest ? restMark : ''}${textOf(content)}`
    const textBytes = Buffer.byteLength(text)
    if (textBytes > this.#maxLineBytes) return false
    each({ text, textBytes, startBytes: this.#positionBytes, endBytes, isRest, isCut: false })
    return true
  }

  /** Takes as much as there is room for, from bytes that are too many, and answers how many. */
  #takePiece(bytes: Buffer, each: LineReceiver): number {
    const isRest = this.#isMidLine
    const room = this.#maxLineBytes - markBytes - (isRest ? markBytes : 0)
    let used = Math.min(bytes.length, characterBoundary(bytes, room))
    let text = textOf(bytes.subarray(0, used))
    if (Buffer.byteLength(text) > room) {
      // A byte becomes three at most, when it is a control character or not UTF-8.
      used = characterBoundary(bytes, Math.floor(room / 3))
      text = textOf(bytes.subarray(0, used))
    }
    const startBytes = this.#positionBytes
    this.#positionBytes += used
    this.#isMidLine = true
    text = `${isRest ? restMark : ''}${text}${cutMark}`
    const textBytes = Buffer.byteLength(text)
    each({ text, textBytes, startBytes, endBytes: this.#positionBytes, isRest, isCut: true })
    return used
  }
}

function textOf(bytes: Buffer): string {
  return isPlainText(bytes) ? bytes.toString('latin1') : printableText(bytes.toString('utf8'))
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
