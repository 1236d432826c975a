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

  /** Until everything taken so far is paid for; 0 when it is. */
  get owedMs(): number {
    return Math.max(0, this.#paidAtMs - monotonicMs())
  }

  /** Takes without waiting: what is taken next waits for it. */
  owe(bytes: number): void {
    this.#paidAtMs = Math.max(this.#paidAtMs, monotonicMs()) + (bytes / this.#bytesPerSecond) * 1000
  }

  /**
   * Waits as long as `bytes` that have come take at this rate, after all that others took before. `onWait` is called
   * at least every 10 s. Rejects with the signal's reason; what was taken stays taken.
   */
  async take(bytes: number, signal: AbortSignal, onWait: () => void): Promise<void> {
    this.owe(bytes)
    const paidAtMs = this.#paidAtMs
    for (let leftMs = paidAtMs - monotonicMs(); leftMs > 0; leftMs = paidAtMs - monotonicMs()) {
      await sleep(Math.min(leftMs, longestSliceMs), signal)
      onWait()
    }
  }
}
