import type { TextSlab } from './text-slab.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Told how far its events got: `position` is the one that the accepted event came with. Events are accepted in the order they were offered in. */
export interface EventOrigin {
  accepted(position: number): void
}

/** One event on its way from a source to its stream. */
export interface SourceEvent {
  /** Printable, at most `maxMessageBytes` in UTF-8; empty where it is left out. Of an event in a slab it is made when it is asked for. */
  readonly message: string
  /** Of the message in UTF-8. */
  readonly messageBytes: number
  /** On the monotonic clock (`monotonicMs`): when it was written, where the source knows that, else when it was read. */
  readonly atMs: number
  /** Milliseconds since 1970 by the device's clock, where the event states its time; counts before `atMs` then. */
  readonly statedMs: number | undefined
  /** The device's clock minus the monotonic clock when the event was written; undefined when it was written before this start or in another boot, so that its stated time cannot be mended. */
  readonly wallOffsetMs: number | undefined
  readonly level: LogLevel | undefined
  readonly origin: EventOrigin | undefined
  /** In the source, right after the event; opaque to all but the origin. */
  readonly position: number
  /** Where the message is, as ASCII without control characters but tabs; whoever keeps the event holds the slab. Default: it is a string. */
  readonly slab?: TextSlab | undefined
  /** In the slab. */
  readonly slabStart?: number
}

/** An event that is shown and soon another one, so that going over many allocates nothing. */
export class EventView implements SourceEvent {
  /** The message, if that is not in a slab. */
  text = ''
  messageBytes = 0
  atMs = 0
  /** NaN where none is stated. */
  stated = NaN
  wallOffsetMs: number | undefined
  level: LogLevel | undefined
  origin: EventOrigin | undefined
  position = 0
  slab: TextSlab | undefined
  slabStart = 0

  get message(): string {
    return this.slab === undefined ? this.text : this.slab.textAt(this.slabStart, this.messageBytes)
  }

  get statedMs(): number | undefined {
    return Number.isNaN(this.stated) ? undefined : this.stated
  }
}

/** The stated time, or NaN where none is. Other than `statedMs` it costs no memory, of which millions of events would make much. */
export function statedOrNaN(event: SourceEvent): number {
  return event instanceof EventView ? event.stated : (event.statedMs ?? NaN)
}

/** Whether its message was left out. Makes no message of bytes. */
export function isLeftOut(event: SourceEvent): boolean {
  return event.slab === undefined && event.message === ''
}

/** The event with a message of its own, to be kept. */
export function keptEvent(event: SourceEvent): SourceEvent {
  const { message, messageBytes, atMs, statedMs, wallOffsetMs, level, origin, position } = event
  return { message, messageBytes, atMs, statedMs, wallOffsetMs, level, origin, position }
}
