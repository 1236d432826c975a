import { monotonicMs } from '../../lib/monotonic.ts'

export interface WrittenClockOptions {
  /** Where in the file that begins which was written since this process started. */
  readonly freshFromBytes: number
  /** Of the file, as seen now. */
  readonly sizeBytes: number
}

/** A step of the device's clock between two looks at a file. Offsets are that clock minus the monotonic clock. */
interface Step {
  /** How long the file was at the last look before the step, and at the second one after it: a look takes a moment. */
  readonly fromBytes: number
  readonly toBytes: number
  /** When these looks were, on the monotonic clock. */
  readonly fromMs: number
  readonly toMs: number
  readonly beforeOffsetMs: number
  readonly afterOffsetMs: number
}

/** Clocks that differ by less are the same. */
const noiseMs = 2_000
const maxSteps = 64

/**
 * What the device's clock showed while a file was written, however much later it is read: takes note of each step of
 * the clock and of how long the file was then. Of more than 64 steps the oldest are forgotten.
 */
export class WrittenClock {
  readonly #freshFromBytes: number
  /** Oldest first. */
  #steps: readonly Step[] = []
  #sizeBytes: number
  #lookedAtMs = 0
  #offsetMs: number
  #isStepNew = false

  constructor({ freshFromBytes, sizeBytes }: WrittenClockOptions) {
    this.#freshFromBytes = freshFromBytes
    this.#sizeBytes = freshFromBytes
    this.#offsetMs = performance.timeOrigin
    this.look(sizeBytes)
  }

  /** To be called at each look at the file, also when nothing of it is read. */
  look(sizeBytes: number): void {
    const atMs = monotonicMs()
    const offsetMs = Date.now() - atMs
    const last = this.#steps.at(-1)
    if (this.#isStepNew && last !== undefined) {
      this.#steps = [...this.#steps.slice(0, -1), { ...last, toBytes: sizeBytes, toMs: atMs }]
    }
    this.#isStepNew = Math.abs(offsetMs - this.#offsetMs) > noiseMs
    if (this.#isStepNew) {
      const step = {
        fromBytes: this.#sizeBytes,
        toBytes: sizeBytes,
        fromMs: this.#lookedAtMs,
        toMs: atMs,
        beforeOffsetMs: this.#offsetMs,
        afterOffsetMs: offsetMs,
      }
      this.#steps = [...this.#steps, step].slice(-maxSteps)
      this.#offsetMs = offsetMs
    }
    this.#sizeBytes = sizeBytes
    this.#lookedAtMs = atMs
  }

  /**
   * The device's clock minus the monotonic clock when the line was written that starts at `startBytes`; undefined when
   * that was before this process started. A line from between two looks has the clock that its stated time fits, or the later one.
   */
  offsetMsOf(startBytes: number, statedMs = NaN): number | undefined {
    if (startBytes < this.#freshFromBytes) return undefined
    if (this.#steps.length === 0) return this.#offsetMs
    const next = this.#steps.find(({ toBytes }) => startBytes < toBytes)
    if (next === undefined) return this.#offsetMs
    return startBytes < next.fromBytes ? next.beforeOffsetMs : this.#fitting(next, statedMs, startBytes)
  }

  /** The clock between two looks, or in a row of them with nothing read or written, by which a time lies between them. */
  #fitting(first: Step, statedMs: number, startBytes: number): number {
    let best = first.beforeOffsetMs
    let bestByMs = outsideMs(first, statedMs - best)
    for (const step of this.#steps.slice(this.#steps.indexOf(first))) {
      if (startBytes < step.fromBytes) break
      const byMs = outsideMs(step, statedMs - step.afterOffsetMs)
      if (byMs > bestByMs) continue
      best = step.afterOffsetMs
      bestByMs = byMs
    }
    return best
  }
}

/** By how much a time on the monotonic clock is not between the two looks. */
function outsideMs({ fromMs, toMs }: Step, atMs: number): number {
  return Math.max(fromMs - atMs, atMs - toMs, 0)
}
