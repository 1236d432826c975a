import type { JournalClock } from './journal-clock.ts'
import type { JournalEntry } from './journal-entry.ts'
import { levelOf, messageOf, type JournalRoute } from './journal-routes.ts'
import type { StreamEvent } from './journal-stream.ts'
import { maxMessageBytes } from '../delivery/log-batch.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { characterBoundary } from '../events/printable-text.ts'

const continued = ' [continues in the next event]'

/** The events that an entry becomes: none without a message, several when that is too long for one. */
export function eventsOf(entry: JournalEntry, route: JournalRoute, context: EventContext): readonly StreamEvent[] {
  const { position } = entry
  const isOfThisBoot = position.bootId === context.clock.bootId
  const shared = {
    atMs: isOfThisBoot ? context.clock.atMsOf(position.monotonicUs) : monotonicMs(),
    statedMs: isOfThisBoot ? undefined : Math.floor(position.realtimeUs / 1_000),
    wallOffsetMs: undefined,
    level: levelOf(entry, context.isOwn),
  }
  return piecesOf(messageOf(entry, route)).map((message) => ({
    message,
    messageBytes: Buffer.byteLength(message),
    ...shared,
  }))
}

export interface EventContext {
  readonly clock: JournalClock
  /** Whether it is the agent's own. */
  readonly isOwn: boolean
}

function piecesOf(message: string): readonly string[] {
  if (message === '') return []
  if (message.length * 3 <= maxMessageBytes || Buffer.byteLength(message) <= maxMessageBytes) return [message]
  const pieces: string[] = []
  let left = Buffer.from(message)
  while (left.length > maxMessageBytes) {
    const cut = characterBoundary(left, maxMessageBytes - continued.length)
    pieces.push(left.subarray(0, cut).toString('utf8') + continued)
    left = left.subarray(cut)
  }
  return [...pieces, left.toString('utf8')]
}
