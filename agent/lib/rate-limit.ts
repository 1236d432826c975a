import { monotonicMs } from './monotonic.ts'

export interface RateLimitOptions {
  readonly perSecond: number
  /** How many may come at once after a rest. */
  readonly burst: number
}

/** A bucket of tokens on the monotonic clock: refuses what is too much, and makes nobody wait. */
export class RateLimit {
  readonly #options: RateLimitOptions
  #left: number
  #filledMs = monotonicMs()

  constructor(options: RateLimitOptions) {
    this.#options = options
    this.#left = options.burst
  }

  /** Takes one; answers whether there was one. */
  take(): boolean {
    const { perSecond, burst } = this.#options
    const nowMs = monotonicMs()
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#filledMs) / 1000) * perSecond)
    this.#filledMs = nowMs
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
