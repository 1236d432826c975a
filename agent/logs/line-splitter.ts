import { characterBoundary, incompleteTailBytes, printableText } from './printable-text.ts'

export interface Line {
  /** Printable, not empty, without its line break. */
  readonly text: string
  /** The position in the file right after the line and its line break. */
  readonly endBytes: number
}

export interface LineSplitterOptions {
  /** Where in the file the first byte comes from. */
  readonly positionBytes: number
  /** Of a line's text in UTF-8, at least 12: a longer one is split, between characters. */
  readonly maxLineBytes: number
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/**
 * Makes lines of bytes. The lines and their positions do not depend on how the bytes are cut into chunks. Empty
 * lines only move the position. Bytes that are not UTF-8 become replacement characters.
 */
export class LineSplitter {
  readonly #maxLineBytes: number
  #positionBytes: number
  #rest: Buffer = Buffer.alloc(0)

  constructor({ positionBytes, maxLineBytes }: LineSplitterOptions) {
    this.#positionBytes = positionBytes
    this.#maxLineBytes = maxLineBytes
  }

  /** The position right after the last line that ended: where reading would start again. */
  get positionBytes(): number {
    return this.#positionBytes
  }

  /** What was pushed and waits for its line break. Never more than the longest line. */
  get pendingBytes(): number {
    return this.#rest.length
  }

  /** Takes the bytes that follow; keeps them, so the caller must not change them any more. */
  push(chunk: Uint8Array): readonly Line[] {
    let bytes = this.#rest.length === 0 ? bufferOf(chunk) : Buffer.concat([this.#rest, chunk])
    const lines: Line[] = []
    for (;;) {
      const end = bytes.indexOf(lineFeed)
      if (end >= 0 && end <= this.#maxLineBytes) {
        this.#take(withoutReturn(bytes.subarray(0, end)), end + 1, lines)
        bytes = bytes.subarray(end + 1)
      } else if (bytes.length > this.#maxLineBytes) {
        const cut = characterBoundary(bytes, this.#maxLineBytes)
        this.#take(bytes.subarray(0, cut), cut, lines)
        bytes = bytes.subarray(cut)
      } else break
    }
    // A small rest must not keep the large chunk alive that it came in.
    this.#rest = bytes.length * 4 < chunk.length ? Buffer.from(bytes) : bytes
    return lines
  }

  /** Ends the pending line without its break, but not inside a character unless that is all there is. */
  flush(): readonly Line[] {
    const lines: Line[] = []
    const whole = this.#rest.length - incompleteTailBytes(this.#rest)
    const cut = whole === 0 ? this.#rest.length : whole
    this.#take(withoutReturn(this.#rest.subarray(0, cut)), cut, lines)
    this.#rest = this.#rest.subarray(cut)
    return lines
  }

  #take(content: Buffer, usedBytes: number, lines: Line[]): void {
    const startBytes = this.#positionBytes
    this.#positionBytes += usedBytes
    if (content.length === 0) return
    const text = printableText(content.toString('utf8'))
    if (Buffer.byteLength(text) <= this.#maxLineBytes) {
      lines.push({ text, endBytes: this.#positionBytes })
      return
    }
    lines.push(...this.#pieces(content, startBytes, this.#positionBytes))
  }

  /** A byte becomes three at most, when it is NUL or not UTF-8: pieces of a third are short enough in any case. */
  #pieces(content: Buffer, startBytes: number, endBytes: number): readonly Line[] {
    const pieces: Line[] = []
    const maxBytes = Math.floor(this.#maxLineBytes / 3)
    for (let start = 0; start < content.length;) {
      const left = content.subarray(start)
      const cut = left.length <= maxBytes ? left.length : characterBoundary(left, maxBytes)
      const end = start + cut === content.length ? endBytes : startBytes + start + cut
      pieces.push({ text: printableText(left.subarray(0, cut).toString('utf8')), endBytes: end })
      start += cut
    }
    return pieces
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === carriageReturn ? line.subarray(0, -1) : line
}
