import type { LogDestination } from './log-destination.ts'

/**
 * A destination that nothing is sent to while `check` throws. What was to be sent stays where it is, as after any failure, and is
 * tried again.
 */
export function waitingDestination(destination: LogDestination, check: () => void): LogDestination {
  return {
    put: async (...args) => {
      check()
      return await destination.put(...args)
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
