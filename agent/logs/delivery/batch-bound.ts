import { putLogEventsLimits } from './log-batch.ts'

/** The bound goes no lower, however slow the line is. */
const leastBytes = 16_384
/** A line that stays slow would otherwise lose every second try to a batch that is too large for it. */
const acceptedBeforeGrowth = 8

/** How large the batches of one stream may be, so that they get through in their time on the line that there is. */
export class BatchBound {
  #maxBytes: number = putLogEventsLimits.maxBytes
  #acceptedInARow = 0

  /** As `BatchLimits.maxBytes` counts them. */
  get maxBytes(): number {
    return this.#maxBytes
  }

  /** Halves, after a batch of `batchBytes` did not get through in its time. */
  cutShort(batchBytes: number): void {
    const halvedBytes = Math.floor(Math.min(this.#maxBytes, batchBytes) / 2)
    this.#maxBytes = Math.min(this.#maxBytes, Math.max(leastBytes, halvedBytes))
    this.#acceptedInARow = 0
  }

  /** Doubles after every eighth batch in a row that was accepted, up to CloudWatch's limit. */
  accepted(): void {
    this.#acceptedInARow += 1
    if (this.#acceptedInARow % acceptedBeforeGrowth !== 0) return
    this.#maxBytes = Math.min(putLogEventsLimits.maxBytes, this.#maxBytes * 2)
  }
}
