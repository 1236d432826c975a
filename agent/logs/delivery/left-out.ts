import { mergeGaps } from './gap-record.ts'
import type { LogTarget } from '../log-destination.ts'
import type { GapRecord } from '../log-source.ts'
import type { SourceEvent } from '../events/source-event.ts'

/** Counts events that are not sent, so that many make one record of each source and reason. */
export class LeftOut {
  readonly #target: LogTarget
  readonly #gaps = new Map<string, GapRecord>()

  constructor(target: LogTarget) {
    this.#target = target
  }

  /** `timeMs`: when the event happened, in cloud time. */
  add(event: SourceEvent, timeMs: number, reason: GapRecord['reason']): void {
    const source = sourceOf(event, this.#target)
    const gap = { target: this.#target, source, reason, bytes: event.messageBytes, lines: 1 }
    const key = `${reason} ${source}`
    const known = this.#gaps.get(key)
    const timed = { ...gap, firstMs: timeMs, lastMs: timeMs }
    this.#gaps.set(key, known === undefined ? timed : mergeGaps(known, timed))
  }

  get gaps(): readonly GapRecord[] {
    return [...this.#gaps.values()]
  }
}

/** What people know the source of an event by: the path of its file; else the stream, whose only source it may be. */
export function sourceOf({ origin }: SourceEvent, { stream }: LogTarget): string {
  if (origin !== undefined && 'path' in origin && typeof origin.path === 'string') return origin.path
  return stream
}
