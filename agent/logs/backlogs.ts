import type { DeliveredSource } from './delivered-source.ts'
import type { LogSenders } from './delivery/log-senders.ts'
import { targetKey } from './target-key.ts'

/** A source that does not know how much it has is behind when it has more and what is next is so old. */
const behindMs = 600_000

/** By stream, of the sources that know. */
export function backlogs(sources: readonly DeliveredSource[]): ReadonlyMap<string, number> {
  const bytes = new Map<string, number>()
  for (const { target, backlogBytes } of sources.flatMap((source) => source.progress?.() ?? [])) {
    const key = targetKey(target)
    if (backlogBytes !== undefined) bytes.set(key, (bytes.get(key) ?? 0) + backlogBytes)
  }
  return bytes
}

/** Tells each stream how much waits at its sources. */
export function noteBacklogs(sources: readonly DeliveredSource[], senders: LogSenders): void {
  const known = backlogs(sources)
  const held = new Set(sources.flatMap(({ hasMore, targets }) => (hasMore ? targets.map(targetKey) : [])))
  for (const { target, queue } of senders.all) {
    const key = targetKey(target)
    const isLate = held.has(key) && queue.lagMs >= behindMs
    queue.noteBacklog(known.get(key) ?? (isLate ? Infinity : 0))
  }
}
