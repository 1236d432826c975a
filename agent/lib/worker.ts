import { backoffMs, type Backoff } from './backoff.ts'
import { AgentError, reportError, type ErrorReport } from './errors.ts'
import { FailureLog } from './failure-log.ts'
import { linkedAbort } from './abort.ts'
import type { Log } from './log.ts'
import { monotonicMs } from './monotonic.ts'
import { sleep } from './sleep.ts'

/** What a pass gets. */
export interface Pass {
  readonly signal: AbortSignal
  /** Says that the pass made progress, and within how many milliseconds it will end or say so again. */
  readonly beat: (withinMs: number) => void
  /** Says that what the last pass failed of works again, where this one may go on for long. */
  readonly recovered: () => void
}

export interface PassOutcome {
  /** When the next pass is due. */
  readonly nextInMs: number
  /** Set when the pass ended and has logged itself that something in it failed; the next one is due all the same. */
  readonly fault?: unknown
}

export interface WorkerOptions {
  readonly name: string
  readonly log: Log
  /** One unit of work. A rejection means: try again after a back-off. Must settle soon after the signal aborts. */
  readonly runPass: (pass: Pass) => Promise<PassOutcome>
  readonly backoff?: Backoff
  /** How long a pass may go without a beat before it is overdue. Default 120 s. */
  readonly stepMs?: number
}

/** Instants are on the monotonic clock, so that a clock set later does not falsify them. */
export interface WorkerHealth {
  readonly name: string
  readonly state: 'starting' | 'ok' | 'failing'
  readonly sinceMs: number
  readonly passes: number
  readonly lastPassMs: number | undefined
  /** Of the last one that did not fail. */
  readonly lastGoodPassMs: number | undefined
  readonly lastError: (ErrorReport & { readonly atMs: number; readonly inARow: number }) | undefined
  readonly nextPassMs: number | undefined
}

const defaultBackoff: Backoff = { baseMs: 2_000, capMs: 60_000, floorMs: 1_000 }
const slowBackoff: Backoff = { baseMs: 60_000, capMs: 120_000, floorMs: 30_000 }
const defaultStepMs = 120_000
const restGraceMs = 30_000
const again = 'pass succeeded again'
const longestRestMs = 2 * 86_400_000

/**
 * The one retry loop of the agent: runs passes until its signal aborts, rests between them, backs off when they
 * fail, never gives up. Liveness (is it overdue?) is kept apart from health (did the last pass go well?).
 */
export class Worker {
  readonly name: string
  readonly #options: WorkerOptions
  readonly #failures: FailureLog
  #health: WorkerHealth
  #failedInARow = 0
  #dueMs = Infinity
  #stopped = false
  #requests: PromiseWithResolvers<undefined>[] = []
  #wake: () => void = () => undefined

  constructor(options: WorkerOptions) {
    this.name = options.name
    this.#options = options
    this.#failures = new FailureLog(options.log)
    this.#health = {
      name: options.name,
      state: 'starting',
      sinceMs: monotonicMs(),
      passes: 0,
      lastPassMs: undefined,
      lastGoodPassMs: undefined,
      lastError: undefined,
      nextPassMs: undefined,
    }
  }

  /** Runs until `signal` aborts; then resolves, once the pass in flight has ended. Never rejects. */
  async supervise(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const restMs = boundedRest(await this.#pass(signal))
      await this.#rest(restMs, signal)
    }
    this.#dueMs = Infinity
    this.#stopped = true
    this.#settle(this.#takeRequests(), this.#stopping())
  }

  /**
   * Asks for a pass now, after the one in flight if there is one; settles as that pass does. Waits for the start of a
   * worker that has not started, and rejects when it stops or has stopped.
   */
  async requestPass(): Promise<void> {
    if (this.#stopped) throw this.#stopping()
    const request = Promise.withResolvers<undefined>()
    this.#requests.push(request)
    this.#wake()
    await request.promise
  }

  /** Whether it was supervised, and that has ended. */
  get hasStopped(): boolean {
    return this.#stopped
  }

  health(): WorkerHealth {
    return this.#health
  }

  /** Milliseconds since the worker should have shown a sign of life; 0 or less while all is well. */
  overdueMs(): number {
    return monotonicMs() - this.#dueMs
  }

  async #pass(signal: AbortSignal): Promise<number> {
    const requests = this.#takeRequests()
    this.#health = { ...this.#health, nextPassMs: undefined }
    this.#beat(this.#options.stepMs ?? defaultStepMs)
    try {
      const { nextInMs, fault } = await this.#options.runPass({
        signal,
        beat: (withinMs) => {
          this.#beat(withinMs)
        },
        recovered: () => {
          this.#recovered()
        },
      })
      this.#ended(fault, signal)
      if (fault === undefined) this.#failures.recovered(again)
      this.#settle(requests, fault)
      return nextInMs
    } catch (error) {
      this.#ended(error, signal)
      if (!signal.aborted) this.#failures.failed('pass failed', error)
      this.#settle(requests, error)
      return this.#backoff(error)
    }
  }

  #recovered(): void {
    if (this.#health.state !== 'failing') return
    this.#failedInARow = 0
    this.#health = { ...this.#health, state: 'ok', sinceMs: monotonicMs() }
    this.#failures.recovered(again)
  }

  #backoff(error: unknown): number {
    const isSlow = error instanceof AgentError && error.retrySlowly
    const backoff = isSlow ? slowBackoff : (this.#options.backoff ?? defaultBackoff)
    return backoffMs(this.#failedInARow - 1, backoff)
  }

  async #rest(restMs: number, signal: AbortSignal): Promise<void> {
    if (this.#requests.length > 0 || signal.aborted) return
    this.#beat(restMs + restGraceMs)
    this.#health = { ...this.#health, nextPassMs: monotonicMs() + restMs }
    using rest = linkedAbort(signal)
    this.#wake = () => {
      rest.controller.abort()
    }
    await sleep(restMs, rest.controller.signal).catch(() => undefined)
    this.#wake = () => undefined
  }

  #ended(error: unknown, signal: AbortSignal): void {
    const nowMs = monotonicMs()
    const failed = error !== undefined && !signal.aborted
    const state = failed ? 'failing' : 'ok'
    this.#failedInARow = failed ? this.#failedInARow + 1 : 0
    this.#health = {
      ...this.#health,
      state,
      sinceMs: state === this.#health.state ? this.#health.sinceMs : nowMs,
      passes: this.#health.passes + 1,
      lastPassMs: nowMs,
      lastGoodPassMs: failed || signal.aborted ? this.#health.lastGoodPassMs : nowMs,
      lastError: failed ? { ...reportError(error), atMs: nowMs, inARow: this.#failedInARow } : this.#health.lastError,
      nextPassMs: undefined,
    }
  }

  #beat(withinMs: number): void {
    this.#dueMs = monotonicMs() + withinMs
  }

  #stopping(): AgentError {
    return new AgentError(`${this.name} is stopping`, { retryable: true })
  }

  #takeRequests(): readonly PromiseWithResolvers<undefined>[] {
    return this.#requests.splice(0)
  }

  #settle(requests: readonly PromiseWithResolvers<undefined>[], error: unknown): void {
    for (const { resolve, reject } of requests) {
      if (error === undefined) resolve(undefined)
      else reject(error)
    }
  }
}

/** Runs all until `signal` aborts and each pass in flight has ended. */
export async function superviseAll(workers: readonly Worker[], signal: AbortSignal): Promise<void> {
  await Promise.all(
    workers.map(async (worker) => {
      await worker.supervise(signal)
    }),
  )
}

/** An absurd wait becomes neither a tight loop nor a silent stop. */
function boundedRest(restMs: number): number {
  return Number.isFinite(restMs) ? Math.min(Math.max(restMs, 0), longestRestMs) : defaultBackoff.capMs
}
