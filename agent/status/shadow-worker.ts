import { isDeepStrictEqual } from 'node:util'

import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type PassOutcome } from '../lib/worker.ts'
import { healthOf, maxReportedBytes, reportedState, type ReportedState } from './reported-state.ts'
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
 * changed.
 */
export function createShadowWorker(deps: ShadowWorkerDeps): Worker {
  const reports = new Reports(deps)
  return new Worker({ name: 'shadow', log: deps.log, runPass: async ({ signal }) => await reports.pass(signal) })
}

class Reports {
  readonly #deps: ShadowWorkerDeps
  #reported: ReportedState | undefined
  #reportedMs = -Infinity

  constructor(deps: ShadowWorkerDeps) {
    this.#deps = deps
  }

  async pass(signal: AbortSignal): Promise<PassOutcome> {
    const { shadow, status } = this.#deps
    const state = reportedState(status())
    this.#reported ??= (await shadow.reported(signal)) ?? {}
    if (this.#isDue(this.#reported, state)) {
      await this.#report(this.#reported, state, signal)
      this.#reported = state
      this.#reportedMs = monotonicMs()
    }
    return { nextInMs: lookEveryMs }
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
    return sinceMs >= restEveryMs || (sinceMs >= healthEveryMs && healthOf(reported) !== healthOf(state))
  }
}
