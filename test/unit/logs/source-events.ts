import type { EventOrigin, SourceEvent } from '../../../agent/logs/events/source-event.ts'

/** An event of no stated time, read at zero of the monotonic clock, with `change` on top. */
export function sourceEvent(message: string, change: Partial<SourceEvent> = {}): SourceEvent {
  return {
    message,
    messageBytes: Buffer.byteLength(message),
    atMs: 0,
    statedMs: undefined,
    wallOffsetMs: undefined,
    level: undefined,
    origin: undefined,
    position: 0,
    ...change,
  }
}

/** Keeps the positions that it was told were accepted. */
export class RecordingOrigin implements EventOrigin {
  readonly positions: number[] = []

  accepted(position: number): void {
    this.positions.push(position)
  }
}
