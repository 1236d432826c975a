interface Job {
  readonly key: string
  readonly run: () => Promise<void>
}

/**
 * Runs jobs as they come, at most `limit` at a time and never two of one key at a time; those of one key in the order
 * in which they came. Jobs must not reject.
 */
export class KeyedLanes {
  readonly #limit: number
  readonly #waiting: Job[] = []
  readonly #busy = new Map<string, Promise<void>>()

  constructor(limit: number) {
    this.#limit = limit
  }

  add(key: string, run: () => Promise<void>): void {
    this.#waiting.push({ key, run })
    this.#startNext()
  }

  /** Resolves when nothing is left, also of what is added meanwhile. */
  async idle(): Promise<void> {
    while (this.#busy.size > 0) await Promise.race(this.#busy.values())
  }

  #startNext(): void {
    while (this.#busy.size < this.#limit) {
      const at = this.#waiting.findIndex(({ key }) => !this.#busy.has(key))
      const [job] = at === -1 ? [] : this.#waiting.splice(at, 1)
      if (job === undefined) return
      const { key, run } = job
      const ended = run().finally(() => {
        this.#busy.delete(key)
        this.#startNext()
      })
      this.#busy.set(key, ended)
    }
  }
}
