/** Runs pieces of work one after the other, in the order in which they were asked for, whether they fail or not. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve()

  async run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return await turn
  }
}
