import { AgentError } from '../../agent/lib/errors.ts'
import type { LogDestination, LogEvent, LogEvents, LogTarget, PutOutcome } from '../../agent/logs/log-destination.ts'

const hourMs = 3_600_000

/** A log destination in memory, as strict as PutLogEvents about limits and order. */
export class FakeLogDestination implements LogDestination {
  /** Every call, in order: `put app`, `createStream app`, `createGroup group`. */
  readonly calls: string[] = []
  /** What `put` throws for a stream, as long as it is there. */
  readonly failures = new Map<string, Error>()
  /** Streams whose `put` waits until it is aborted. */
  readonly hanging = new Set<string>()
  /** The size of each batch that was tried, in the bytes that PutLogEvents counts. */
  readonly triedBytes: number[] = []
  /** The slow line: a batch of more bytes waits until it is aborted, or breaks its connection. */
  slowAboveBytes = Infinity
  whenSlow: 'waits' | 'breaks' = 'waits'
  /** A batch with such a message is refused as a whole, each time. */
  refuses: (message: string) => boolean = () => false
  /** How many batches were sent at the same time, at most. */
  mostAtOnce = 0
  #atOnce = 0
  /** Runs right before a batch is stored. */
  beforePut: (target: LogTarget) => void = () => undefined
  readonly #cloudNow: () => number
  readonly #groups = new Map<string, Map<string, LogEvent[]>>()

  constructor(cloudNow: () => number = Date.now) {
    this.#cloudNow = cloudNow
  }

  events({ group, stream }: LogTarget): readonly LogEvent[] {
    return this.#groups.get(group)?.get(stream) ?? []
  }

  messages(target: LogTarget): readonly string[] {
    return this.events(target).map(({ message }) => message)
  }

  async put(target: LogTarget, events: LogEvents, signal: AbortSignal): Promise<PutOutcome> {
    this.calls.push(`put ${target.stream}`)
    this.#atOnce += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce)
    try {
      return await this.#put(target, [...events], signal)
    } finally {
      this.#atOnce -= 1
    }
  }

  createStream({ group, stream }: LogTarget, signal: AbortSignal): Promise<'created' | 'exists' | 'no-group'> {
    this.calls.push(`createStream ${stream}`)
    if (signal.aborted) return Promise.reject(new AgentError('aborted'))
    const streams = this.#groups.get(group)
    if (streams === undefined) return Promise.resolve('no-group')
    if (streams.has(stream)) return Promise.resolve('exists')
    streams.set(stream, [])
    return Promise.resolve('created')
  }

  createGroup(group: string, signal: AbortSignal): Promise<'created' | 'exists'> {
    this.calls.push(`createGroup ${group}`)
    if (signal.aborted) return Promise.reject(new AgentError('aborted'))
    if (this.#groups.has(group)) return Promise.resolve('exists')
    this.#groups.set(group, new Map())
    return Promise.resolve('created')
  }

  deleteGroup(group: string): void {
    this.#groups.delete(group)
  }

  async #put(target: LogTarget, events: readonly LogEvent[], signal: AbortSignal): Promise<PutOutcome> {
    signal.throwIfAborted()
    if (this.hanging.has(target.stream)) await aborted(signal)
    const bytes = bytesOf(events)
    this.triedBytes.push(bytes)
    if (bytes > this.slowAboveBytes) {
      if (this.whenSlow === 'waits') await aborted(signal)
      return { kind: 'cut-short', error: new AgentError('ECONNRESET', { retryable: true }) }
    }
    const failure = this.failures.get(target.stream)
    if (failure !== undefined) throw failure
    checkBatch(events)
    if (events.some(({ message }) => this.refuses(message))) {
      return { kind: 'refused', error: new AgentError('InvalidParameterException: refused') }
    }
    const stored = this.#groups.get(target.group)?.get(target.stream)
    if (stored === undefined) return { kind: 'no-stream' }
    this.beforePut(target)
    const tooOld = events.filter(({ timestampMs }) => timestampMs < this.#cloudNow() - 14 * 24 * hourMs).length
    const tooNew = events.filter(({ timestampMs }) => timestampMs > this.#cloudNow() + 2 * hourMs).length
    stored.push(...events.slice(tooOld, events.length - tooNew))
    return { kind: 'accepted', rejected: { tooOld, tooNew, expired: 0 } }
  }
}

function bytesOf(events: readonly LogEvent[]): number {
  return events.reduce((sum, { message }) => sum + Buffer.byteLength(message) + 26, 0)
}

function checkBatch(events: readonly LogEvent[]): void {
  const bytes = bytesOf(events)
  const times = events.map(({ timestampMs }) => timestampMs)
  const isValid =
    events.length > 0 &&
    events.length <= 10_000 &&
    bytes <= 1_048_576 &&
    events.every(({ message }) => message !== '' && message.isWellFormed()) &&
    times.every((time, at) => Number.isInteger(time) && time >= (times[at - 1] ?? 0)) &&
    (times.at(-1) ?? 0) - (times[0] ?? 0) < 24 * hourMs
  if (!isValid) throw new AgentError('InvalidParameterException: the batch breaks a limit of PutLogEvents')
}

async function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => {
    reject(signal.reason)
  })
  return await promise
}
