import { RtspFault } from './rtsp-fault.ts'

/** The head of an answer (RFC 2326 section 7). Texts have one character per byte (latin1). */
export interface RtspAnswer {
  readonly status: number
  /** Undefined where it is missing or no number. */
  readonly cseq: number | undefined
  /** All values of the header, in their order. Expects the name in lower case. */
  readonly header: (name: string) => readonly string[]
}

const maxHeadBytes = 16 * 1024
/** Of interleaved frames, bodies, and requests of the camera's own, before an answer. */
const maxSkippedBytes = 256 * 1024
const maxBodyBytes = 64 * 1024

/**
 * Reads answers from a stream that may come byte by byte. Bodies, interleaved frames (RFC 2326 section 10.12) and
 * requests of the camera's own are skipped. It holds no more than one head and what was pushed last.
 */
export class RtspReader {
  #bytes: Buffer = Buffer.alloc(0)
  #searchedTo = 0
  #toSkip = 0
  #skipped = 0
  #isOver = false

  /** Whether an answer has begun that is not whole. */
  get hasPart(): boolean {
    return this.#bytes.length > 0
  }

  /** Whether no further answer can be read: the body of the last one is too long, or its length is not known. */
  get isOver(): boolean {
    return this.#isOver
  }

  push(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes])
  }

  /** The head of the next answer as soon as it is whole. Throws an RtspFault on what is no RTSP. */
  next(): RtspAnswer | undefined {
    while (!this.#isOver && this.#skip()) {
      const head = this.#takeHead()
      if (head === undefined) return undefined
      const [start = '', ...lines] = head
      const headers = readHeaders(lines)
      const header = (name: string): readonly string[] =>
        headers.filter(([found]) => found === name).map(([, value]) => value)
      this.#skipBody(header('content-length')[0])
      const status = /^RTSP\/\d\.\d (\d{3})(?: .*)?$/.exec(start)?.[1]
      if (status !== undefined) {
        this.#skipped = 0
        return { status: Number(status), cseq: wholeNumber(header('cseq')[0]), header }
      }
      if (!/^[A-Z_]+ \S+ RTSP\/\d\.\d$/.test(start)) throw noRtsp('it answers with something that is not RTSP')
    }
    return undefined
  }

  /** Whether the next byte that is there begins a message. */
  #skip(): boolean {
    for (;;) {
      const count = Math.min(this.#toSkip, this.#bytes.length)
      this.#drop(count)
      this.#toSkip -= count
      this.#skipped += count
      if (this.#skipped > maxSkippedBytes) throw noRtsp('it sends much, but no answer')
      const [first] = this.#bytes
      if (first === undefined) return false
      if (first === 0x0d || first === 0x0a) this.#toSkip = 1
      else if (first !== 0x24) return true
      else if (this.#bytes.length < 4) return false
      else this.#toSkip = 4 + this.#bytes.readUInt16BE(2)
    }
  }

  /** The lines of a head, without the empty one at its end, once that is there. */
  #takeHead(): readonly string[] | undefined {
    const end = this.#findHeadEnd()
    if ((end ?? this.#bytes.length) > maxHeadBytes) throw noRtsp('the header of its answer is longer than 16 KiB')
    if (end === undefined) return undefined
    const text = this.#bytes.toString('latin1', 0, end)
    this.#drop(end)
    this.#searchedTo = 0
    return text.trimEnd().split(/\r?\n/)
  }

  /** Behind the empty line; lines may end with a bare line feed. */
  #findHeadEnd(): number | undefined {
    for (let at = this.#bytes.indexOf(0x0a, this.#searchedTo); at !== -1; at = this.#bytes.indexOf(0x0a, at + 1)) {
      const next = this.#bytes[at + 1]
      if (next === 0x0a) return at + 2
      if (next === 0x0d && this.#bytes[at + 2] === 0x0a) return at + 3
    }
    this.#searchedTo = Math.max(0, this.#bytes.length - 2)
    return undefined
  }

  #skipBody(length: string | undefined): void {
    if (length === undefined) return
    const bytes = wholeNumber(length)
    if (bytes === undefined || bytes > maxBodyBytes) this.#isOver = true
    else this.#toSkip = bytes
  }

  #drop(count: number): void {
    this.#bytes = this.#bytes.subarray(count)
  }
}

/** Names in lower case; a line that begins with a space goes on with the one before. */
function readHeaders(lines: readonly string[]): readonly (readonly [string, string])[] {
  const whole: string[] = []
  for (const line of lines) {
    const isContinued = /^[ \t]/.test(line) && whole.length > 0
    if (isContinued) whole.push(`${whole.pop() ?? ''} ${line.trim()}`)
    else whole.push(line)
  }
  return whole.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, Math.max(0, colon)).trim().toLowerCase(), line.slice(colon + 1).trim()] as const
  })
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined
}

function noRtsp(message: string): RtspFault {
  return new RtspFault(message, { outcome: 'unclear' })
}
