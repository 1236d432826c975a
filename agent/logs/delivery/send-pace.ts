import { ByteRate } from '../../lib/byte-rate.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { putLogEventsLimits } from './log-batch.ts'

const betweenPutsMs = 1_000
/** No batch takes longer at the rate than this, so that nothing urgent waits longer behind one. */
const longestDebtSeconds = 5
const leastBatchBytes = 16_384

/** What all streams together keep to: one PutLogEvents a second outside of catch-up, and a number of bytes per second. */
export class SendPace {
  readonly #rate: ByteRate | undefined
  /** How large batches are to be, as `BatchLimits.maxBytes` counts. */
  readonly maxBatchBytes: number
  #lastPutMs = -Infinity

  constructor(maxBytesPerSecond?: number) {
    this.#rate = maxBytesPerSecond === undefined ? undefined : new ByteRate(maxBytesPerSecond)
    const inTimeBytes = Math.floor((maxBytesPerSecond ?? Infinity) * longestDebtSeconds)
    this.maxBatchBytes = Math.min(putLogEventsLimits.maxBytes, Math.max(leastBatchBytes, inTimeBytes))
  }

  /** To be called for each PutLogEvents, whatever comes of it. */
  sends(bytes: number): void {
    this.#lastPutMs = monotonicMs()
    this.#rate?.owe(bytes)
  }

  /** How long to wait before the next PutLogEvents. */
  waitMs({ isCatchingUp }: { readonly isCatchingUp: boolean }): number {
    const putMs = isCatchingUp ? 0 : this.#lastPutMs + betweenPutsMs - monotonicMs()
    return Math.max(0, putMs, this.#rate?.owedMs ?? 0)
  }
}
