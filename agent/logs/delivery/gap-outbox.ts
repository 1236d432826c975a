import { monotonicMs } from '../../lib/monotonic.ts'
import { mergeGaps } from './gap-record.ts'
import type { LogTarget } from '../log-destination.ts'
import type { GapRecord } from '../log-source.ts'
import { targetKey } from '../target-key.ts'

interface Entry {
  gap: GapRecord
  readonly sinceMs: number
  changedAtMs: number
  isInFlight: boolean
}

/** A gap record that was handed out to be sent. One of the two is to be called. */
export interface GapInFlight {
  readonly gap: GapRecord
  /** It arrived, or never will: it is forgotten. */
  readonly settle: () => void
  /** It is to be sent again. */
  readonly putBack: () => void
}

export interface TakeOptions {
  /** Records of a stream that is behind wait where they count what is left out. */
  readonly isBehind: boolean
  /** At a stop those are taken as well that may still grow. */
  readonly isStopping: boolean
  readonly limit: number
}

/** One loss often comes in pieces: its record waits until there was none for so long, but not for ever. */
const settleMs = 5_000
const longestSettleMs = 600_000
const maxEntries = 1_000

/**
 * The gap records that did not arrive yet. Part of the saved state: what they tell of is behind the saved positions.
 * Bounded by merging those of one target, source and reason; if that is not enough, those of one target.
 */
export class GapOutbox {
  readonly #ofTargets = new Map<string, Entry[]>()
  #length = 0
  #forgotten = 0

  get length(): number {
    return this.#length
  }

  /** Records that there was no room for; what they told is in no stream. */
  get forgotten(): number {
    return this.#forgotten
  }

  /** Of one target. */
  countOf(target: LogTarget): number {
    return this.#ofTargets.get(targetKey(target))?.length ?? 0
  }

  /** All of them, to be saved. */
  get gaps(): readonly GapRecord[] {
    return [...this.#ofTargets.values()].flatMap((entries) => entries.map(({ gap }) => gap))
  }

  get targets(): readonly LogTarget[] {
    return [...this.#ofTargets.values()].flatMap(([entry]) => (entry === undefined ? [] : [entry.gap.target]))
  }

  add(gap: GapRecord): void {
    const entries = this.#entriesOf(gap.target)
    const same = entries.find(
      (entry) => !entry.isInFlight && entry.gap.source === gap.source && entry.gap.reason === gap.reason,
    )
    if (same !== undefined) merge(same, gap)
    else if (this.#length < maxEntries) this.#push(entries, gap)
    else this.#squeezeIn(entries, gap)
  }

  restore(gaps: readonly GapRecord[]): void {
    for (const gap of gaps) this.add(gap)
  }

  /** Whether `take` would hand out any. */
  isDue(target: LogTarget, how: Omit<TakeOptions, 'limit'>): boolean {
    if (this.#length === 0) return false
    return this.#ofTargets.get(targetKey(target))?.some((entry) => isEntryDue(entry, how)) ?? false
  }

  /** Those of a target, oldest first. */
  take(target: LogTarget, options: TakeOptions): readonly GapInFlight[] {
    const entries = this.#ofTargets.get(targetKey(target)) ?? []
    const due = entries.filter((entry) => isEntryDue(entry, options)).slice(0, options.limit)
    return due.map((entry) => {
      entry.isInFlight = true
      const { gap } = entry
      return {
        gap,
        settle: () => {
          this.#remove(entry)
        },
        putBack: () => {
          this.#remove(entry)
          this.add(gap)
        },
      }
    })
  }

  #entriesOf(target: LogTarget): Entry[] {
    const key = targetKey(target)
    const entries = this.#ofTargets.get(key) ?? []
    this.#ofTargets.set(key, entries)
    return entries
  }

  #push(entries: Entry[], gap: GapRecord): void {
    const nowMs = monotonicMs()
    entries.push({ gap, sinceMs: nowMs, changedAtMs: nowMs, isInFlight: false })
    this.#length += 1
  }

  #squeezeIn(entries: Entry[], gap: GapRecord): void {
    const other = entries.find((entry) => !entry.isInFlight)
    if (other !== undefined) merge(other, { ...gap, source: other.gap.source })
    else this.#forgotten += 1
    if (entries.length === 0) this.#ofTargets.delete(targetKey(gap.target))
  }

  #remove(entry: Entry): void {
    const key = targetKey(entry.gap.target)
    const left = (this.#ofTargets.get(key) ?? []).filter((other) => other !== entry)
    if (left.length === 0) this.#ofTargets.delete(key)
    else this.#ofTargets.set(key, left)
    this.#length -= 1
  }
}

function merge(entry: Entry, gap: GapRecord): void {
  entry.gap = mergeGaps(entry.gap, gap)
  entry.changedAtMs = monotonicMs()
}

function isEntryDue(entry: Entry, { isBehind, isStopping }: Omit<TakeOptions, 'limit'>): boolean {
  const { gap, sinceMs, changedAtMs, isInFlight } = entry
  if (isInFlight) return false
  if (isStopping) return true
  if (gap.reason === 'level' && isBehind) return false
  const nowMs = monotonicMs()
  return nowMs - changedAtMs >= settleMs || nowMs - sinceMs >= longestSettleMs
}
