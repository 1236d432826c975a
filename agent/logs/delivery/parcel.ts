import type { LogBatch } from './log-batch.ts'
import type { RejectedEvents } from '../log-destination.ts'

/** A batch with what is to be done once its fate is known. One of the three is to be called. */
export interface Parcel {
  readonly batch: Pick<LogBatch, 'events' | 'bytes' | 'taken'>
  /** The service has it, but for what it rejected; or there was nothing to send. */
  accepted(rejected: RejectedEvents): void
  /** The service will never take it as it is. `again`: the next parcel is another one, and can go at once. */
  refused(): 'again' | 'failed'
  /** Nothing is known to be stored: it is to be sent again. */
  putBack(): void
}

export const noneRejected: RejectedEvents = { tooOld: 0, tooNew: 0, expired: 0 }
