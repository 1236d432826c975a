import { isDeepStrictEqual } from 'node:util'

import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type PassOutcome } from '../lib/worker.ts'
import { healthOf, maxReportedBytes, reportedState, type ReportedState, withSteadyStart } from './reported-state.ts'
import type { StatusDocument } from './status-document.ts'

/**
 * The reported part of a named shadow. Both methods have deadlines of their own, may be called again after a failure, throw
 * AgentErrors that are retryable while there is no connection, and reject with the signal's reason on abort.
 */
export interface Shadow {
  /** What was reported before, whoever did; undefined when there is none. */
  readonly reported: (signal: AbortSignal) => Promise<ReportedState | undefined>
  /** Merges: what is null is removed, what is not named stays. Idempotent. */
  readonly report: (patch: ReportedState, signal: AbortSignal) => Promise<void>
  /** Calls the listener when the shadow was deleted, and after each connection: it may have been, unheard. */
  readonly onMayBeLost: (listener: () => void) => Disposable
}

export interface ShadowWorkerDeps {
  readonly shadow: Shadow
  readonly status: () => StatusDocument
  /** The patch (RFC 7396) that makes the second of the first. */
  readonly patchBetween: (from: ReportedState, to: ReportedState) => ReportedState
  readonly log: Log
}

const lookEveryMs = 5_000
/** A part that comes and goes is not reported each time. */
const healthEveryMs = 30_000
const restEveryMs = 900_000

/**
 * Reports how the appliance is: a change of health at once, all else at most every 15 minutes, nothing while nothing has
 * changed. A shadow that somebody deleted is filled again, every 5 s at most. Listens for that until it is disposed of.
 */
export function createShadowWorker(deps: ShadowWorkerDeps): ShadowWorker {
  const reports = new Reports(deps)
  const worker = new Worker({
    name: 'shadow',
    log: deps.log,
    runPass: async ({ signal }) => await reports.pass(signal),
  })
  const listening = deps.shadow.onMayBeLost(() => {
    reports.readAgain()
    worker.requestPass().catch(() => undefined) // what it runs into is its own to report
  })
  return {
    worker,
    [Symbol.dispose]: () => {
      listening[Symbol.dispose]()
    },
  }
}

export interface ShadowWorker extends Disposable {
  readonly worker: Worker
}

class Reports {
  readonly #deps: ShadowWorkerDeps
  #reported: ReportedState = {}
  #reportedMs = -Infinity
  #isRead = false
  #isGone = false

  constructor(deps: ShadowWorkerDeps) {
    this.#deps = deps
  }

  /** What the shadow has is asked for by the next pass. */
  readAgain(): void {
    this.#isRead = false
  }

  async pass(signal: AbortSignal): Promise<PassOutcome> {
    const told = reportedState(this.#deps.status())
    const reported = await this.#read(signal)
    const state = withSteadyStart(told, reported)
    if (this.#isDue(reported, state)) {
      await this.#report(reported, state, signal).catch((error: unknown) => {
        this.#isRead = false // it may have arrived all the same, or a part of it
        throw error
      })
      this.#reported = state
      this.#isGone = false
      this.#reportedMs = monotonicMs()
    }
    return { nextInMs: lookEveryMs }
  }

  async #read(signal: AbortSignal): Promise<ReportedState> {
    if (this.#isRead) return this.#reported
    this.#isRead = true // from now on it may be lost anew
    try {
      const reported = await this.#deps.shadow.reported(signal)
      this.#isGone = reported === undefined
      this.#reported = reported ?? {}
      return this.#reported
    } catch (error) {
      this.#isRead = false
      throw error
    }
  }

  /** In two where one update that removes this and adds that would itself be larger than a shadow may be. */
  async #report(reported: ReportedState, state: ReportedState, signal: AbortSignal): Promise<void> {
    const { shadow, patchBetween } = this.#deps
    const patch = patchBetween(reported, state)
    if (Buffer.byteLength(JSON.stringify(patch)) <= maxReportedBytes) {
      await shadow.report(patch, signal)
      return
    }
    await shadow.report(patchBetween(reported, {}), signal)
    await shadow.report(state, signal)
  }

  #isDue(reported: ReportedState, state: ReportedState): boolean {
    if (isDeepStrictEqual(reported, state)) return false
    const sinceMs = monotonicMs() - this.#reportedMs
    return (
      (this.#isGone && sinceMs >= lookEveryMs) ||
      sinceMs >= restEveryMs ||
      (sinceMs >= healthEveryMs && healthOf(reported) !== healthOf(state))
    )
  }
}
