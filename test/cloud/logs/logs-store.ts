import { eventBytes, type InputLogEvent } from './log-batch-limits.ts'
import { alreadyExists, notFound } from './logs-faults.ts'

export interface StoredEvent extends InputLogEvent {
  readonly ingestedAtMs: number
}

export interface LogGroup {
  readonly name: string
  readonly createdAtMs: number
  readonly retentionDays: number | undefined
}

export interface LogStream {
  readonly name: string
  readonly createdAtMs: number
  /** Nothing but a second CreateLogStream finds it before. */
  readonly visibleFromMs: number
  /** Undefined until the first event is accepted. */
  readonly firstEventMs: number | undefined
  readonly lastEventMs: number | undefined
  readonly lastIngestedAtMs: number | undefined
  /** Ever, whether or not the store still holds them. */
  readonly acceptedEvents: number
}

/** Totals since the service was made. */
export interface AcceptedCounts {
  readonly batches: number
  readonly events: number
  /** As AWS bills them: UTF-8 bytes and 26 an event. */
  readonly bytes: number
  /** Events of accepted batches that were set aside as too new, too old or expired. */
  readonly rejectedEvents: number
  /** Accepted events that the store no longer holds, because it is bounded. */
  readonly droppedEvents: number
}

export interface LogsStoreOptions {
  readonly now: () => number
  /** Above it the oldest batches are dropped, and counted. */
  readonly maxStoredBytes: number
}

/** Told of each batch when it is stored. */
export type BatchListener = (batch: {
  readonly group: string
  readonly stream: string
  readonly events: readonly InputLogEvent[]
}) => void

interface StoredBatch {
  readonly groupName: string
  readonly streamName: string
  readonly events: readonly StoredEvent[]
  readonly bytes: number
}

interface StoredGroup {
  readonly group: LogGroup
  readonly streams: Map<string, LogStream>
}

/** Groups, streams and the latest events, in memory. Names that are not there throw ResourceNotFoundException. */
export class LogsStore {
  readonly #options: LogsStoreOptions
  readonly #groups = new Map<string, StoredGroup>()
  #batches: StoredBatch[] = []
  #storedBytes = 0
  #counts: AcceptedCounts = { batches: 0, events: 0, bytes: 0, rejectedEvents: 0, droppedEvents: 0 }
  #visibleAfterMs = 0
  readonly #listeners = new Set<BatchListener>()

  constructor(options: LogsStoreOptions) {
    this.#options = options
  }

  get accepted(): AcceptedCounts {
    return this.#counts
  }

  /** How long streams made from now on stay unknown to everything but a second CreateLogStream. */
  setVisibleAfterMs(visibleAfterMs: number): void {
    this.#visibleAfterMs = visibleAfterMs
  }

  /** Until disposed. */
  listen(listener: BatchListener): Disposable {
    this.#listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener)
      },
    }
  }

  groups(): readonly LogGroup[] {
    return [...this.#groups.values()].map(({ group }) => group).sort(byName)
  }

  group(name: string): LogGroup {
    return this.#stored(name).group
  }

  streams(groupName: string): readonly LogStream[] {
    return [...this.#stored(groupName).streams.values()].filter((stream) => this.#isVisible(stream)).sort(byName)
  }

  stream(groupName: string, name: string): LogStream {
    const stream = this.#stored(groupName).streams.get(name)
    if (stream === undefined || !this.#isVisible(stream)) throw notFound('stream')
    return stream
  }

  createGroup(name: string): void {
    if (this.#groups.has(name)) throw alreadyExists('group')
    const group = { name, createdAtMs: this.#options.now(), retentionDays: undefined }
    this.#groups.set(name, { group, streams: new Map() })
  }

  createStream(groupName: string, name: string): void {
    const { streams } = this.#stored(groupName)
    if (streams.has(name)) throw alreadyExists('stream')
    const times = { firstEventMs: undefined, lastEventMs: undefined, lastIngestedAtMs: undefined }
    const createdAtMs = this.#options.now()
    const visibleFromMs = createdAtMs + this.#visibleAfterMs
    streams.set(name, { name, createdAtMs, visibleFromMs, acceptedEvents: 0, ...times })
  }

  deleteGroup(name: string): void {
    this.#stored(name)
    this.#groups.delete(name)
    this.#keep(({ groupName }) => groupName !== name)
  }

  deleteStream(groupName: string, name: string): void {
    if (!this.#stored(groupName).streams.delete(name)) throw notFound('stream')
    this.#keep((batch) => batch.groupName !== groupName || batch.streamName !== name)
  }

  setRetention(name: string, retentionDays: number | undefined): void {
    const stored = this.#stored(name)
    this.#groups.set(name, { ...stored, group: { ...stored.group, retentionDays } })
  }

  /** Takes the events of a batch that was judged already. */
  add(groupName: string, streamName: string, batch: BatchToAdd): void {
    const stream = this.stream(groupName, streamName)
    const ingestedAtMs = this.#options.now()
    const events = batch.events.map((event) => ({ ...event, ingestedAtMs }))
    const bytes = batch.events.reduce((sum, event) => sum + eventBytes(event), 0)
    this.#stored(groupName).streams.set(streamName, withEvents(stream, events))
    this.#batches.push({ groupName, streamName, events, bytes })
    this.#storedBytes += bytes
    this.#counts = {
      ...this.#counts,
      batches: this.#counts.batches + 1,
      events: this.#counts.events + events.length,
      bytes: this.#counts.bytes + bytes,
      rejectedEvents: this.#counts.rejectedEvents + batch.rejectedEvents,
    }
    this.#dropOldest()
    for (const listener of this.#listeners) listener({ group: groupName, stream: streamName, events: batch.events })
  }

  /** The stored events of a stream by timestamp; equal timestamps keep the order of their arrival. */
  events(groupName: string, streamName: string): readonly StoredEvent[] {
    this.stream(groupName, streamName)
    return this.#batches
      .filter((batch) => batch.groupName === groupName && batch.streamName === streamName)
      .flatMap(({ events }) => events)
      .sort((a, b) => a.timestamp - b.timestamp)
  }

  #stored(groupName: string): StoredGroup {
    const stored = this.#groups.get(groupName)
    if (stored === undefined) throw notFound('group')
    return stored
  }

  #isVisible({ visibleFromMs }: LogStream): boolean {
    return this.#options.now() >= visibleFromMs
  }

  #dropOldest(): void {
    let count = 0
    while (this.#storedBytes > this.#options.maxStoredBytes) {
      const oldest = this.#batches[count++]
      if (oldest === undefined) break
      this.#storedBytes -= oldest.bytes
      this.#counts = { ...this.#counts, droppedEvents: this.#counts.droppedEvents + oldest.events.length }
    }
    if (count > 0) this.#batches = this.#batches.slice(count)
  }

  #keep(predicate: (batch: StoredBatch) => boolean): void {
    this.#batches = this.#batches.filter(predicate)
    this.#storedBytes = this.#batches.reduce((sum, { bytes }) => sum + bytes, 0)
  }
}

interface BatchToAdd {
  readonly events: readonly InputLogEvent[]
  readonly rejectedEvents: number
}

function withEvents(stream: LogStream, events: readonly StoredEvent[]): LogStream {
  const [first, last] = [events[0], events.at(-1)]
  if (first === undefined || last === undefined) return stream
  return {
    ...stream,
    firstEventMs: Math.min(stream.firstEventMs ?? Infinity, first.timestamp),
    lastEventMs: Math.max(stream.lastEventMs ?? 0, last.timestamp),
    lastIngestedAtMs: last.ingestedAtMs,
    acceptedEvents: stream.acceptedEvents + events.length,
  }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  if (a.name === b.name) return 0
  return a.name < b.name ? -1 : 1
}
