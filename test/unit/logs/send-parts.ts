import { createLog } from '../../../agent/lib/log.ts'
import { EventClock, type EventClockDeps } from '../../../agent/logs/events/event-clock.ts'
import { GapOutbox } from '../../../agent/logs/delivery/gap-outbox.ts'
import type { GapRecord } from '../../../agent/logs/log-source.ts'
import { LogSenders, type LogSendersDeps } from '../../../agent/logs/delivery/log-senders.ts'
import { LogStreamSender } from '../../../agent/logs/delivery/log-stream-sender.ts'
import { LogTally } from '../../../agent/logs/log-tally.ts'
import { upTo } from '../../../agent/logs/delivery/read-ahead.ts'
import { SendPace } from '../../../agent/logs/delivery/send-pace.ts'
import { FakeLogDestination } from '../../support/fake-log-destination.ts'

export const target = { group: 'g', stream: 'app' }

/** What a sender needs, with a fake cloud; `change` on top. */
export class SendParts {
  readonly destination = new FakeLogDestination()
  readonly outbox = new GapOutbox()
  readonly tally = new LogTally(createLog({ level: 'error', sinks: [] }))
  readonly gaps: GapRecord[] = []
  readonly deps: LogSendersDeps

  constructor(change: Partial<LogSendersDeps & EventClockDeps> = {}) {
    this.deps = {
      group: target.group,
      laneOf: () => 3,
      destination: this.destination,
      clock: new EventClock({ cloudNow: Date.now, ...change }),
      tally: this.tally,
      outbox: this.outbox,
      onGap: (gap) => {
        this.gaps.push(gap)
        this.outbox.add(gap)
      },
      pace: new SendPace(),
      remember: () => undefined,
      flushMs: () => 15_000,
      maxAgeMs: Infinity,
      minLevelWhenBehind: 'debug',
      ...change,
    }
  }

  sender(): LogStreamSender {
    return new LogStreamSender({ ...this.deps, target, lane: 3, readAhead: upTo(2_097_152) })
  }

  senders(): LogSenders {
    return new LogSenders(this.deps)
  }

  /** Makes groups and streams, so that the first batch of each is accepted at once. */
  async make(...streams: readonly string[]): Promise<void> {
    const { signal } = new AbortController()
    await this.destination.createGroup(target.group, signal)
    for (const stream of streams) await this.destination.createStream({ ...target, stream }, signal)
  }
}
