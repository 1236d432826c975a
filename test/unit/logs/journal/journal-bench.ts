import { vi } from 'vitest'

import { JournalSource } from '../../../../agent/logs/journal/journal-source.ts'
import type { JournalState } from '../../../../agent/logs/journal/journal-position.ts'
import type { JournalSourceConfig } from '../../../../agent/logs/journal/journal-routes.ts'
import type { LogTarget } from '../../../../agent/logs/log-destination.ts'
import type { EventSink, EventSinks, GapRecord } from '../../../../agent/logs/log-source.ts'
import type { SourceEvent } from '../../../../agent/logs/events/source-event.ts'
import { FakeJournalctl, thisBoot } from '../../../support/fake-journalctl.ts'

/** A sink that takes `room` events until some are accepted. */
export class FakeSink implements EventSink {
  readonly offered: SourceEvent[] = []
  /** The messages that were accepted. */
  readonly stored: string[] = []
  room = Infinity
  #accepted = 0

  get isFull(): boolean {
    return this.offered.length - this.#accepted >= this.room
  }

  get messages(): readonly string[] {
    return this.offered.map(({ message }) => message)
  }

  offer(event: SourceEvent): void {
    if (this.isFull) throw new Error('an event was offered to a sink that is full')
    this.offered.push(event)
  }

  /** Accepts the next events; all by default. */
  accept(count = Infinity): void {
    const upTo = Math.min(this.offered.length, this.#accepted + count)
    for (; this.#accepted < upTo; this.#accepted += 1) {
      const event = this.offered[this.#accepted]
      if (event === undefined) continue
      this.stored.push(event.message)
      event.origin?.accepted(event.position)
    }
  }
}

/** What an entry takes in a journal file. */
export const entryBytes = 100

export const ownUnit = 'panorama-agent.service'

/** A journal source over a fake journalctl and fake sinks. The timers must be fake (see useFakeClock). */
export class JournalBench implements EventSinks {
  readonly journalctl = new FakeJournalctl()
  readonly gaps: GapRecord[] = []
  sources: readonly JournalSourceConfig[] = [{ kind: 'journal' }]
  bootId: string | undefined = thisBoot
  maxBacklogBytes = Infinity
  oldestMs: number | undefined
  /** What keeps the files from being measured. */
  filesError: Error | undefined
  onLook: () => void = () => undefined
  #sinks = new Map<string, FakeSink>()
  #source: JournalSource | undefined

  get source(): JournalSource {
    this.#source ??= this.#made(undefined)
    return this.#source
  }

  of({ stream }: LogTarget): FakeSink {
    return this.sink(stream)
  }

  sink(stream: string): FakeSink {
    const sink = this.#sinks.get(stream) ?? new FakeSink()
    this.#sinks.set(stream, sink)
    return sink
  }

  /** One read, after `afterMs`. */
  async read(afterMs = 0): Promise<void> {
    vi.advanceTimersByTime(afterMs)
    const reading = this.source.read(this, { signal: new AbortController().signal, beat: () => undefined })
    await vi.advanceTimersByTimeAsync(60)
    await reading
  }

  /** What a kill -9 leaves: the state as it is, and nothing in the sinks. */
  async crash(state: JournalState | undefined = this.source.state): Promise<void> {
    await this.#source?.[Symbol.asyncDispose]()
    this.#sinks = new Map()
    this.#source = this.#made(structuredClone(state))
  }

  #made(state: JournalState | undefined): JournalSource {
    return new JournalSource({
      sources: this.sources,
      targetOf: ({ group = 'device', stream }, { unit = '' }) => ({ group, stream: stream.replaceAll('{unit}', unit) }),
      ownUnit,
      state,
      clock: { bootId: this.bootId, atMsOf: (monotonicUs) => monotonicUs / 1_000 - 5_000 },
      cloudNow: () => performance.now() + 2_000_000_000_000,
      onGap: (record) => {
        this.gaps.push(record)
      },
      start: this.journalctl.start,
      bounds: {
        maxBacklogBytes: this.maxBacklogBytes,
        oldestMs: () => this.oldestMs,
        files: () => {
          this.onLook()
          if (this.filesError !== undefined) return Promise.reject(this.filesError)
          return Promise.resolve(this.journalctl.headers(entryBytes))
        },
      },
      random: () => 1,
    })
  }
}
