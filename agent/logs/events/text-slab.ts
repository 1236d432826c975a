/** Memory that lines were read into, shared by the events of them. */
export class TextSlab {
  readonly bytes: Buffer
  /** To note line breaks in while the bytes are gone through; of no meaning afterwards. */
  readonly breaks: Int32Array
  /** Whether every byte of what was read stands for itself in JSON, and none is to be escaped. */
  isVerbatim = false
  readonly #onUnused: (slab: TextSlab) => void
  #uses = 0

  constructor(bytes: Buffer, breaks: Int32Array, onUnused: (slab: TextSlab) => void = () => undefined) {
    this.bytes = bytes
    this.breaks = breaks
    this.#onUnused = onUnused
  }

  /** Keeps the bytes as they are until there is a `release` for it. */
  hold(): void {
    this.#uses += 1
  }

  /** At the last one the memory may be read into again. */
  release(): void {
    this.#uses -= 1
    if (this.#uses === 0) this.#onUnused(this)
  }

  /** Of bytes that are ASCII. */
  textAt(start: number, bytes: number): string {
    return this.bytes.toString('latin1', start, start + bytes)
  }
}

/** Below it, a string is less than the memory's own keeping. */
const minSlabBytes = 4_096
/** While a file is caught up with, two batches of its lines are held. */
const maxFree = 10
/** A text with more line breaks is gone through line by line. */
const bytesPerBreak = 4
const escaped = ['"', '\\', '\t'].map((text) => text.charCodeAt(0))

/** Memory to read into, used again when no event needs it any more. */
export class ReadMemory {
  readonly #slabBytes: number
  readonly #breaks: Int32Array
  readonly #free: TextSlab[] = []

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes
    this.#breaks = new Int32Array(Math.ceil(slabBytes / bytesPerBreak))
  }

  /** Held by the caller, to read into. */
  take(): TextSlab {
    const slab = this.#free.pop() ?? this.#make()
    slab.hold()
    return slab
  }

  /**
   * What is to hold the events of `lengthBytes` that were read into a slab: itself, or a copy where they would keep much
   * more memory than they need; undefined where they are too few for either. Held by the caller.
   */
  filled(slab: TextSlab, lengthBytes: number): TextSlab | undefined {
    if (lengthBytes < minSlabBytes) return undefined
    const isFull = lengthBytes * 2 >= slab.bytes.length
    const filled = isFull ? slab : new TextSlab(copyOf(slab.bytes.subarray(0, lengthBytes)), this.#breaks)
    const text = filled.bytes.subarray(0, lengthBytes)
    filled.isVerbatim = escaped.every((byte) => !text.includes(byte))
    filled.hold()
    return filled
  }

  /** Lets go of what is not in use, but for one: the next read may come soon. */
  trim(): void {
    this.#free.splice(1)
  }

  #make(): TextSlab {
    return new TextSlab(Buffer.allocUnsafeSlow(this.#slabBytes), this.#breaks, (slab) => {
      if (this.#free.length < maxFree) this.#free.push(slab)
    })
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
