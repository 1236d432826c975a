import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { CameraFile } from './camera-file.ts'
import type { SwapResult } from './credential-swap.ts'
import { retryMs } from './refresh-schedule.ts'

/** Instants are on the monotonic clock. */
export interface CameraStatus {
  readonly name: string
  /**
   * `pending`: the secret has a newer version than the file, and the camera does not take it yet. `unproven`: nobody
   * knows whether the camera takes what is in the file.
   */
  readonly state: 'starting' | 'ok' | 'pending' | 'unproven' | 'failing'
  readonly sinceMs: number
  /** The version in the camera's file, also while newer ones cannot be had. */
  readonly versionId: string | undefined
  /** When that was written: ISO 8601, in cloud time. */
  readonly changedAt: string | undefined
  /** What it waits for, while it is pending or unproven. */
  readonly detail: string | undefined
  readonly lastError: (ErrorReport & { readonly atMs: number }) | undefined
  /** When the camera is looked at again, where that is not at the next refresh. */
  readonly dueMs: number | undefined
  /** Whether that is for the sake of a camera's patience, so that it is no earlier on request. */
  readonly isPatient: boolean
}

const refusedHint =
  'set this password on the camera, or store in the secret the one that the camera takes; it is tried again by itself'

/** How each camera is, and what is said about it in the log. */
export class CameraStates {
  readonly #log: Log
  readonly #states: Map<string, CameraStatus>
  readonly #failures: ReadonlyMap<string, FailureLog>
  readonly #failuresInARow = new Map<string, number>()
  /** What was said last of a camera that waits. */
  readonly #said = new Map<string, string>()

  constructor(names: readonly string[], log: Log) {
    this.#log = log
    this.#states = new Map(names.map((name) => [name, initialStatus(name)]))
    this.#failures = new Map(names.map((name) => [name, new FailureLog(log)]))
  }

  all(): readonly CameraStatus[] {
    return [...this.#states.values()]
  }

  of(name: string): CameraStatus {
    return this.#states.get(name) ?? initialStatus(name)
  }

  /** What is in a camera's file. */
  hasFile(name: string, file: CameraFile | undefined): void {
    this.#update(name, { versionId: file?.versionId, changedAt: file?.changedAt })
  }

  /** It is known what belongs into a camera's file, and that is there. `versionId` is the secret's. */
  settled(name: string, { state, text, waitMs }: SwapResult, versionId: string): void {
    const due = { dueMs: waitMs === undefined ? undefined : monotonicMs() + waitMs, isPatient: waitMs !== undefined }
    this.#failuresInARow.delete(name)
    if (state === 'failing') {
      const error = new AgentError(text ?? 'the camera refuses the credential of the secret', { hint: refusedHint })
      this.#enter(name, { state, detail: undefined, lastError: { ...reportError(error), atMs: monotonicMs() }, ...due })
      this.#failures.get(name)?.failed('camera keeps its last credentials', error, { camera: name })
      return
    }
    this.#enter(name, { state, detail: text, lastError: undefined, ...due })
    this.#failures.get(name)?.recovered('camera refreshed again', { camera: name })
    this.#say(name, { state, text, versionId })
  }

  /** A camera's secret could not be had, or its file not written. `spread` is about 1, the same for a whole pass. */
  failed(name: string, error: unknown, spread: number): void {
    const failures = this.#failuresInARow.get(name) ?? 0
    this.#failuresInARow.set(name, failures + 1)
    const known = error instanceof AgentError ? error : new AgentError('the camera failed', { retryable: true })
    this.#enter(name, {
      state: 'failing',
      detail: undefined,
      lastError: { ...reportError(error), atMs: monotonicMs() },
      dueMs: monotonicMs() + Math.max(known.retryAfterMs ?? 0, retryMs(known, failures) * spread),
      isPatient: false,
    })
    this.#failures.get(name)?.failed('camera keeps its last credentials', error, { camera: name })
  }

  /** There was no time for it in this pass. */
  postponed(name: string, forMs: number): void {
    this.#update(name, { dueMs: monotonicMs() + forMs })
  }

  #say(name: string, { state, text, versionId }: { state: string; text: string | undefined; versionId: string }): void {
    const said = this.#said.get(name)
    const news = text === undefined ? undefined : `${state} ${versionId}`
    if (said === news) return
    if (news === undefined) this.#said.delete(name)
    else this.#said.set(name, news)
    const fields = { camera: name, versionId, ...(text === undefined ? {} : { detail: text }) }
    if (state === 'pending') this.#log.warn('camera keeps its last credentials', fields)
    else if (state === 'unproven') this.#log.warn('camera credentials are not proven', fields)
    else this.#log.info('camera takes its credentials', fields)
  }

  #enter(name: string, change: Pick<CameraStatus, 'state' | 'detail' | 'lastError' | 'dueMs' | 'isPatient'>): void {
    const { state, sinceMs } = this.of(name)
    this.#update(name, { ...change, sinceMs: state === change.state ? sinceMs : monotonicMs() })
  }

  #update(name: string, change: Partial<CameraStatus>): void {
    this.#states.set(name, { ...this.of(name), ...change })
  }
}

function initialStatus(name: string): CameraStatus {
  return {
    name,
    state: 'starting',
    sinceMs: monotonicMs(),
    versionId: undefined,
    changedAt: undefined,
    detail: undefined,
    lastError: undefined,
    dueMs: undefined,
    isPatient: false,
  }
}
