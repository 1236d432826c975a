/** What systemd says of the agent's unit. */
export interface UnitState {
  /** `ActiveState`. */
  readonly active: string
  /** `NRestarts`: how often systemd started it again by itself. */
  readonly restarts: number
}

/** How long a unit that nobody starts again may lie there before that counts as a failed start. */
const looksDown = 3

/**
 * Counts how often the agent had to be started again, or lay there without anybody starting it. `NRestarts` begins anew
 * when somebody restarts the unit, so only what it grows by is counted.
 */
export class FailedStarts {
  #count = 0
  #restarts: number | undefined
  #down = 0

  get count(): number {
    return this.#count
  }

  /** Answers whether the unit is to be started by hand now. */
  observe({ active, restarts }: UnitState): boolean {
    const before = this.#restarts ?? restarts
    if (restarts > before) this.#count += restarts - before
    this.#restarts = restarts
    this.#down = active === 'failed' || active === 'inactive' ? this.#down + 1 : 0
    if (this.#down < looksDown) return false
    this.#down = 0
    this.#count += 1
    return true
  }
}
