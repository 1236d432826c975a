import { join } from 'node:path'

import * as z from 'zod'

import type { ByteCounter } from '../lib/byte-counter.ts'
import { AgentError } from '../lib/errors.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { Worker } from '../lib/worker.ts'
import { countTraffic, endOfMonthMs, type TrafficMonth } from './traffic-month.ts'

export interface TrafficMeterOptions {
  /** The state folder; the file in it is `traffic.json`. */
  readonly folder: string
  readonly counter: Pick<ByteCounter, 'bytes'>
  readonly clock: { readonly now: () => number; readonly isKnown: () => boolean }
  /** Undefined: no limit, and the month is only counted. */
  readonly maxBytesPerMonth: number | undefined
  readonly log: Log
}

export interface TrafficStatus {
  /** `2026-11`, in UTC. */
  readonly month: string
  readonly bytes: number
  readonly maxBytes: number | undefined
  readonly state: TrafficState
  /** While paused: when the month ends, in milliseconds since 1970. */
  readonly pausedUntilMs: number | undefined
}

/** `near`: four fifths are used. `paused`: all is, and what can wait does. */
export type TrafficState = 'ok' | 'near' | 'paused'

/** The bytes of the month are used up; it goes on by itself in the next. */
export class TrafficPausedError extends AgentError {
  override readonly name = 'TrafficPausedError'

  constructor(untilMs: number) {
    super(`paused until ${new Date(untilMs).toISOString()}: the bytes of this month are used up`, {
      retryable: true,
      hint: 'it goes on by itself then; or set network.maxBytesPerMonth higher',
    })
  }
}

const stateSchema = z.object({ version: z.literal(1), month: z.string().regex(/^\d{4}-\d\d$/), bytes: z.int().min(0) })

const nearShare = 0.8
/** A power cut costs as much of the count at most. */
const saveCappedMs = 300_000
/** Nobody depends on it, and flash wears. */
const saveUncappedMs = 3_600_000

/** Counts what the connections carry in each month, over restarts, and says when it is enough. */
export class TrafficMeter {
  readonly worker: Worker
  readonly #options: TrafficMeterOptions
  #state: TrafficMonth | undefined
  #seenBytes: number
  #told: TrafficState = 'ok'
  #isAsked = false

  private constructor(options: TrafficMeterOptions, state: TrafficMonth | undefined) {
    this.#options = options
    this.#state = state
    this.#seenBytes = options.counter.bytes
    const nextInMs = options.maxBytesPerMonth === undefined ? saveUncappedMs : saveCappedMs
    this.worker = new Worker({
      name: 'traffic',
      log: options.log,
      runPass: async () => {
        this.#isAsked = false
        this.#tell(this.status())
        await this.save()
        return { nextInMs }
      },
    })
  }

  /** A file that cannot be read is set aside, and the month begins anew. */
  static async open(options: TrafficMeterOptions): Promise<TrafficMeter> {
    const { folder, log } = options
    const saved = await readJsonState({ path: pathIn(folder), log, parse: (json) => stateSchema.parse(json) })
    return new TrafficMeter(options, saved === undefined ? undefined : { ...saved, unplacedBytes: 0 })
  }

  status(): TrafficStatus {
    const { maxBytesPerMonth: maxBytes, clock } = this.#options
    const { month, bytes } = this.#count()
    const state = stateOf(bytes, maxBytes)
    return { month, bytes, maxBytes, state, pausedUntilMs: state === 'paused' ? endOfMonthMs(clock.now()) : undefined }
  }

  /** How long what can wait has to; 0 while it need not. */
  msUntilAllowed(): number {
    const { pausedUntilMs, state } = this.status()
    if (state !== this.#told) this.#askToTell()
    return pausedUntilMs === undefined ? 0 : Math.max(1, pausedUntilMs - this.#options.clock.now())
  }

  /** Throws a TrafficPausedError to what can wait, while it has to. */
  check(): void {
    const waitMs = this.msUntilAllowed()
    if (waitMs > 0) throw new TrafficPausedError(this.#options.clock.now() + waitMs)
  }

  /** Keeps the count for the next start. */
  async save(): Promise<void> {
    const { month, bytes } = this.#count()
    await writeJsonState(pathIn(this.#options.folder), { version: 1, month, bytes })
  }

  /** The worker says so, and saves the count. */
  #askToTell(): void {
    if (this.#isAsked) return
    this.#isAsked = true
    this.worker.requestPass().catch(() => undefined)
  }

  #count(): TrafficMonth {
    const { counter, clock } = this.#options
    const { bytes: totalBytes } = counter
    const moment = { nowMs: clock.now(), isKnown: clock.isKnown(), bytes: totalBytes - this.#seenBytes }
    this.#seenBytes = totalBytes
    this.#state = countTraffic(this.#state, moment)
    return this.#state
  }

  #tell({ state, month, bytes, maxBytes, pausedUntilMs }: TrafficStatus): void {
    if (state === this.#told) return
    const { log } = this.#options
    const until = pausedUntilMs === undefined ? {} : { until: new Date(pausedUntilMs).toISOString() }
    const fields = { month, bytes, maxBytes, ...until }
    if (state === 'paused') log.warn('the bytes of the month are used up: downloads and log uploads wait', fields)
    else if (state === 'near') log.warn('four fifths of the bytes of the month are used', fields)
    else log.info('there are bytes to send again', fields)
    this.#told = state
  }
}

function stateOf(bytes: number, maxBytes = Infinity): TrafficState {
  if (bytes >= maxBytes) return 'paused'
  return bytes >= maxBytes * nearShare ? 'near' : 'ok'
}

function pathIn(folder: string): string {
  return join(folder, 'traffic.json')
}
