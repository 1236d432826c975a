export interface Backoff {
  readonly baseMs: number
  readonly capMs: number
  /** No wait is shorter, so that a run of small draws cannot become a tight loop. Default a tenth of the base. */
  readonly floorMs?: number
  /** How much longer the bound is at each attempt. Default 2. */
  readonly factor?: number
}

export type Random = () => number

/**
 * Full jitter: a uniformly random wait between the floor and the exponential bound of the attempt (0 for the first retry), as
 * "Exponential Backoff And Jitter" (AWS Architecture Blog) has it with a floor of 0. Short draws are not raised to the floor: all
 * that failed at one moment would come back together at another.
 */
export function backoffMs(attempt: number, backoff: Backoff, random: Random = Math.random): number {
  const { baseMs, capMs, floorMs = baseMs / 10, factor = 2 } = backoff
  const bound = Math.max(floorMs, Math.min(capMs, baseMs * factor ** Math.min(attempt, 30)))
  return floorMs + random() * (bound - floorMs)
}

/** `intervalMs` spread by up to `fraction` of it to either side, so that a fleet does not act in step. */
export function jittered(intervalMs: number, fraction: number, random: Random = Math.random): number {
  return intervalMs * (1 + fraction * (2 * random() - 1))
}
