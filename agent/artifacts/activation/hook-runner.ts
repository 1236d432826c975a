import type { Verdict } from './activation-state.ts'

/**
 * Runs an operator's hook that says whether the current release works. Has a deadline of its own besides the signal,
 * with whose reason it rejects. A hook that could not be asked is not healthy, and the verdict says why. Throws an
 * AgentError that is retryable when asking again soon may do. A hook may be run again for the same release.
 */
export type HookRunner = (name: string, signal: AbortSignal) => Promise<Verdict>
