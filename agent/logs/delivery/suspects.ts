/**
 * Finds the event that a batch was refused for, by halving: after each refusal the first half is tried, after each
 * acceptance the first half of what is left of the refused batch.
 */
export class Suspects {
  #count = 0

  /** How many of the next events may be sent together; Infinity when none is under suspicion. */
  get limit(): number {
    return this.#count === 0 ? Infinity : Math.max(1, Math.floor(this.#count / 2))
  }

  /** A batch of the first `taken` was refused. */
  refused(taken: number): void {
    this.#count = taken
  }

  /** The first `taken` are done with, accepted or given up. */
  passed(taken: number): void {
    this.#count = Math.max(0, this.#count - taken)
  }

  /** The one was found. */
  found(): void {
    this.#count = 0
  }
}
