import { putLogEventsLimits } from './log-batch.ts'
import type { LogDestination } from '../log-destination.ts'

/** Who says when something may be sent. Both throw where that is not soon. */
export interface LogAdmission {
  readonly check: () => void
  /** Resolves when so many bytes may be on their way; disposing says that they are no longer. */
  readonly admit: (maxBytes: number, signal: AbortSignal) => Promise<Disposable>
}

/**
 * A destination that nothing is sent to but what is let in. What was to be sent stays where it is, as after any failure, and is
 * tried again.
 */
export function waitingDestination(destination: LogDestination, { check, admit }: LogAdmission): LogDestination {
  return {
    put: async (target, events, signal) => {
      using _ = await admit(putLogEventsLimits.maxBytes, signal)
      signal.throwIfAborted() // the events may be gone
      return await destination.put(target, events, signal)
    },
    createStream: async (...args) => {
      check()
      return await destination.createStream(...args)
    },
    createGroup: async (...args) => {
      check()
      return await destination.createGroup(...args)
    },
  }
}
