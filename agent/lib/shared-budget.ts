/** What one sharer has of a budget. */
export interface BudgetShare {
  /** The most that may be asked for at once: so much is always there for this sharer, whatever the others hold. */
  readonly guaranteed: number
  /** Waits until `amount` is there and takes it; disposing gives it back. Rejects with the signal's reason. */
  acquire(amount: number, signal: AbortSignal): Promise<Disposable>
}

interface Waiter {
  readonly share: { held: number }
  readonly amount: number
  readonly grant: () => void
}

/**
 * A number of units, bytes or connections, that several sharers take from and give back to. Half of it is set aside in
 * equal parts, one for each sharer; the rest is for whoever comes first. So a sharer that holds what it has for ever
 * never brings another one to a halt.
 */
export class SharedBudget {
  readonly #guaranteed: number
  readonly #waiting: Waiter[] = []
  #common: number

  constructor(total: number, sharers: number) {
    this.#guaranteed = Math.max(1, Math.floor(total / 2 / Math.max(1, sharers)))
    this.#common = Math.max(0, total - this.#guaranteed * Math.max(1, sharers))
  }

  /** To be called once for each sharer. */
  share(): BudgetShare {
    const share = { held: 0 }
    return {
      guaranteed: this.#guaranteed,
      acquire: async (amount, signal) => {
        signal.throwIfAborted()
        if (amount > this.#guaranteed) throw new Error(`${amount} is more than the ${this.#guaranteed} of a share`)
        if (!this.#take(share, amount)) await this.#wait(share, amount, signal)
        return this.#taken(share, amount)
      },
    }
  }

  #taken(share: { held: number }, amount: number): Disposable {
    let isHeld = true
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#give(share, amount)
        isHeld = false
      },
    }
  }

  async #wait(share: { held: number }, amount: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const waiter: Waiter = {
      share,
      amount,
      grant: () => {
        resolve(undefined)
      },
    }
    const onAbort = (): void => {
      const index = this.#waiting.indexOf(waiter)
      if (index === -1) return // it was granted just now, and whoever gets it gives it back
      this.#waiting.splice(index, 1)
      reject(signal.reason)
    }
    this.#waiting.push(waiter)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #take(share: { held: number }, amount: number): boolean {
    const needed = this.#ofCommon(share.held + amount) - this.#ofCommon(share.held)
    if (needed > this.#common) return false
    this.#common -= needed
    share.held += amount
    return true
  }

  #give(share: { held: number }, amount: number): void {
    this.#common += this.#ofCommon(share.held) - this.#ofCommon(share.held - amount)
    share.held -= amount
    for (const waiter of [...this.#waiting]) {
      if (!this.#take(waiter.share, waiter.amount)) continue
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
      waiter.grant()
    }
  }

  #ofCommon(held: number): number {
    return Math.max(0, held - this.#guaranteed)
  }
}
