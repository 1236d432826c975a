import { monotonicMs } from '../../lib/monotonic.ts'

const sampleMs = 1_000
/** How far the rate looks back. */
const smoothingMs = 10_000

/** How fast bytes come, smoothed over some ten seconds. */
export class TransferMeter {
  #sampledAtMs = monotonicMs()
  #bytes = 0
  #perSecond: number | undefined

  count(bytes: number): void {
    this.#bytes += bytes
    this.#sample()
  }

  /** Undefined during the first second. */
  get bytesPerSecond(): number | undefined {
    this.#sample()
    return this.#perSecond
  }

  #sample(): void {
    const elapsedMs = monotonicMs() - this.#sampledAtMs
    if (elapsedMs < sampleMs) return
    const perSecond = (this.#bytes / elapsedMs) * 1000
    const before = this.#perSecond ?? perSecond
    this.#perSecond = before + (1 - Math.exp(-elapsedMs / smoothingMs)) * (perSecond - before)
    this.#sampledAtMs += elapsedMs
    this.#bytes = 0
  }
}
