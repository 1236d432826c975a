/** What the appliance has sent and received in one month. */
export interface TrafficMonth {
  /** `2026-11`, in UTC. */
  readonly month: string
  readonly bytes: number
  /** Of these, what came while nobody knew the time: they may belong to a later month. */
  readonly unplacedBytes: number
}

export interface TrafficMoment {
  /** Cloud time. */
  readonly nowMs: number
  /** Whether a server has told it. */
  readonly isKnown: boolean
  /** Since the moment before. */
  readonly bytes: number
}

/**
 * Counts bytes to a month. Only a time that a server told begins another month; one that lies before the month so far means that
 * the time was wrong then, and nothing that was counted is forgotten for it.
 */
export function countTraffic(before: TrafficMonth | undefined, { nowMs, isKnown, bytes }: TrafficMoment): TrafficMonth {
  const now = monthOf(nowMs)
  const unplacedBytes = (before?.unplacedBytes ?? 0) + bytes
  if (!isKnown) return { month: before?.month ?? now, bytes: (before?.bytes ?? 0) + bytes, unplacedBytes }
  const isNext = before !== undefined && now > before.month
  return { month: now, bytes: isNext ? unplacedBytes : (before?.bytes ?? 0) + bytes, unplacedBytes: 0 }
}

/** When the month ends that a moment is in, in milliseconds since 1970. */
export function endOfMonthMs(nowMs: number): number {
  const now = new Date(nowMs)
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
}

/** The month of a moment, as `2026-11`, in UTC. */
export function monthOf(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 7)
}
