import type { ErrorReport } from '../../lib/errors.ts'
import type { WorkerHealth } from '../../lib/worker.ts'
import type { PartStatus } from '../../status/status-document.ts'

/** Turns a moment on the monotonic clock into an instant in cloud time. */
export type ToInstant = (monotonicMs: number) => string

export function workerPart(
  { state, sinceMs, lastGoodPassMs, lastError, nextPassMs }: WorkerHealth,
  at: ToInstant,
): PartStatus {
  return {
    state,
    since: at(sinceMs),
    ...(lastGoodPassMs === undefined ? {} : { lastGoodAt: at(lastGoodPassMs) }),
    ...(lastError === undefined ? {} : { lastError: errorPart(lastError, at) }),
    ...(nextPassMs === undefined ? {} : { nextAttemptAt: at(nextPassMs) }),
  }
}

export function errorPart(
  { name, message, hint, atMs }: ErrorReport & { readonly atMs: number },
  at: ToInstant,
): NonNullable<PartStatus['lastError']> {
  return { name, message, ...(hint === undefined ? {} : { hint }), at: at(atMs) }
}
