import { untilAborted } from '../lib/abort.ts'
import type { TrafficMeter } from './traffic-meter.ts'

/**
 * Lets in what can wait: side by side while the month has room for all of it, one after the other as the limit comes near. So
 * all of it together goes over the limit by one at most.
 */
export class TrafficAdmission {
  readonly #meter: Pick<TrafficMeter, 'check' | 'status'>
  #heldBytes = 0
  #released = Promise.withResolvers<undefined>()

  constructor(meter: Pick<TrafficMeter, 'check' | 'status'>) {
    this.#meter = meter
  }

  /**
   * Resolves when something of up to so many bytes may be sent; disposing says that it was. Throws a TrafficPausedError at the
   * limit, or the signal's reason.
   */
  async admit(maxBytes: number, signal: AbortSignal): Promise<Disposable> {
    for (;;) {
      signal.throwIfAborted()
      this.#meter.check()
      if (this.#hasRoom(maxBytes)) return this.#hold(maxBytes)
      await untilAborted(this.#released.promise, signal)
    }
  }

  #hasRoom(bytes: number): boolean {
    const { bytes: used, maxBytes: limit = Infinity } = this.#meter.status()
    return this.#heldBytes === 0 || used + this.#heldBytes + bytes <= limit
  }

  #hold(bytes: number): Disposable {
    this.#heldBytes += bytes
    return {
      [Symbol.dispose]: () => {
        this.#heldBytes -= bytes
        this.#released.resolve(undefined)
        this.#released = Promise.withResolvers()
      },
    }
  }
}
