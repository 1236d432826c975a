export interface Backoff {
  readonly baseMs: number
  readonly capMs: number
  /** No wait is shorter. Default a tenth of the base, so that a run of small draws cannot become a tight loop. */
  readonly floorMs?: number
}

export type Random = () => number

/**
 * Full jitter: a uniformly random wait between 0 and the exponential bound of the attempt (0 for the first retry),
 * as "Exponential Backoff And Jitter" (AWS Architecture Blog) has it, but never under the floor.
 */
export function backoffMs(attempt: number, { baseMs, capMs, floorMs }: Backoff, random: Random = Math.random): number {
  const bound = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30))
  const floor = floorMs ?? baseMs / 10
  return Math.max(floor, random() * bound)
}

/** `intervalMs` spread by up to `fraction` of it to either side, so that a fleet does not act in step. */
export function jittered(intervalMs: number, fraction: number, random: Random = Math.random): number {
  return intervalMs * (1 + fraction * (2 * random() - 1))
}
