/** The cloud's own time: this machine's plus an offset, so that an appliance whose clock is wrong is a shifted cloud. */
export class CloudClock {
  #offsetMs: number

  constructor(offsetMs = 0) {
    this.#offsetMs = offsetMs
  }

  /** Milliseconds since 1970. Bound, so that it can be handed on as a function. */
  readonly now = (): number => Date.now() + this.#offsetMs

  setOffset(offsetMs: number): void {
    this.#offsetMs = offsetMs
  }
}
