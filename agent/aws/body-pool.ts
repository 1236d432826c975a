/** Of a full batch, its JSON included. */
const bodyBytes = 1_310_720
/** Smaller ones are not worth it. */
const minBytes = 131_072
/** One is written while another is on its way. */
const maxFree = 2

/** Memory for the bodies of large requests, used again instead of left to the garbage collector. */
export class BodyPool {
  #free: ArrayBufferLike[] = []

  /** At least `bytes`. */
  take(bytes: number): Buffer {
    if (bytes < minBytes || bytes > bodyBytes) return Buffer.allocUnsafeSlow(bytes)
    const free = this.#free.pop()
    return free === undefined ? Buffer.allocUnsafeSlow(bodyBytes) : Buffer.from(free)
  }

  /** Takes back what a body was written into, once nobody reads it any more: not after a failure, when a socket still may. */
  giveBack({ buffer }: Buffer): void {
    if (buffer.byteLength === bodyBytes && this.#free.length < maxFree) this.#free.push(buffer)
  }
}
