import { isSameExecution } from './job-ledger.ts'
import type { ExecutionKey } from './jobs-service.ts'

/** In vain, after which an end is given up. */
export const maxTries = 4
/** More than AWS IoT has in flight for one thing. */
const maxKept = 50

interface Tried {
  readonly key: ExecutionKey
  readonly tries: number
}

/**
 * Executions that have ended here, and whose end AWS IoT does not take: it refuses the report, or gives them out again after
 * it. After a few tries they are given up, so that they do not hold up the queue.
 */
export class RefusedEnds {
  #tried: readonly Tried[] = []

  /** One more try was in vain. Answers how many were. */
  count(key: ExecutionKey): number {
    const tries = 1 + (this.#tried.find((each) => isSameExecution(each.key, key))?.tries ?? 0)
    const others = this.#tried.filter((each) => !isSameExecution(each.key, key))
    this.#tried = [...others, { key, tries }].slice(-maxKept)
    return tries
  }

  isGivenUp(key: ExecutionKey): boolean {
    return this.givenUp.some((each) => isSameExecution(each, key))
  }

  get givenUp(): readonly ExecutionKey[] {
    return this.#tried.filter(({ tries }) => tries >= maxTries).map(({ key }) => key)
  }

  /** It has ended for AWS IoT as well. */
  drop(key: ExecutionKey): void {
    this.#tried = this.#tried.filter((each) => !isSameExecution(each.key, key))
  }
}
