const lineFeed = 0x0a

/** A line of journalctl's output, or what is known of one that was too long to be kept. */
export type JournalLine = { readonly text: string; readonly bytes: number } | { readonly tooLongBytes: number }

/** Cuts journalctl's output into lines. A line longer than `maxBytes` is not kept, only counted. */
export class JournalLines {
  readonly #maxBytes: number
  #parts: Buffer[] = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The lines that end in `chunk`; empty ones are left out. */
  push(chunk: Buffer): readonly JournalLine[] {
    const lines: JournalLine[] = []
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      this.#add(chunk.subarray(start, end))
      const line = this.#end()
      if (line !== undefined) lines.push(line)
      start = end + 1
    }
    this.#add(chunk.subarray(start))
    return lines
  }

  #add(part: Buffer): void {
    this.#bytes += part.length
    if (this.#bytes > this.#maxBytes) this.#parts = []
    else if (part.length > 0) this.#parts.push(part)
  }

  #end(): JournalLine | undefined {
    const [parts, bytes] = [this.#parts, this.#bytes]
    this.#parts = []
    this.#bytes = 0
    if (bytes > this.#maxBytes) return { tooLongBytes: bytes }
    const [first] = parts
    if (first === undefined) return undefined
    return { text: (parts.length === 1 ? first : Buffer.concat(parts)).toString('utf8'), bytes }
  }
}
