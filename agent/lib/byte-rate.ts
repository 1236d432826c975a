import { monotonicMs } from './monotonic.ts'
import { sleep } from './sleep.ts'

const longestSliceMs = 10_000

/** Holds many readers to a number of bytes per second together, on the monotonic clock. */
export class ByteRate {
  readonly #bytesPerSecond: number
  /** When everything taken so far is paid for. */
  #paidAtMs = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  /**
   * Waits as long as `bytes` that have come take at this rate, after all that others took before. `onWait` is called
   * at least every 10 s. Rejects with the signal's reason; what was taken stays taken.
   */
  async take(bytes: number, signal: AbortSignal, onWait: () => void): Promise<void> {
    const paidAtMs = Math.max(this.#paidAtMs, monotonicMs()) + (bytes / this.#bytesPerSecond) * 1000
    this.#paidAtMs = paidAtMs
    for (let leftMs = paidAtMs - monotonicMs(); leftMs > 0; leftMs = paidAtMs - monotonicMs()) {
      await sleep(Math.min(leftMs, longestSliceMs), signal)
      onWait()
    }
  }
}
