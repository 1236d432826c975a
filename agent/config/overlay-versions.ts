import { untilAborted } from '../lib/abort.ts'
import { AgentError, reportError } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { JsonObject } from '../lib/json-object.ts'
import type { Log } from '../lib/log.ts'
import { OneAtATime } from '../lib/one-at-a-time.ts'
import { sleep } from '../lib/sleep.ts'
import { OverlayStore, type OverlayFiles } from './overlay-store.ts'
import { digestOf, isSameJob, versionInForce, type JobExecutionId, type OverlayVersion } from './overlay-version.ts'

const maxStarts = 3

/** How the trial of a version ended. */
export type SettledTrial =
  | { readonly accepted: true; readonly number: number }
  | { readonly reverted: true; readonly number: number; readonly reason: string }

/** What came of the version that a job brought. */
export type TrialOutcome = 'running' | SettledTrial

export interface NewOverlay {
  readonly overlay: JsonObject
  readonly job?: JobExecutionId | undefined
  readonly confirmSeconds: number
  /** Milliseconds since 1970. */
  readonly createdAtMs: number
}

const retryMs = 5_000
const maxReason = 500

/**
 * The versions of the remote overlay over their life: trial, then accepted or reverted, each step durable. A revert is
 * in force at once, also where the disk does not take it yet: it is written as soon as it does, and no outcome is told before.
 */
export class OverlayVersions implements AsyncDisposable {
  readonly #store: OverlayStore
  readonly #log: Log
  readonly #failures: FailureLog
  readonly #turns = new OneAtATime()
  readonly #lifetime = new AbortController()
  readonly #undone = new Map<number, string>()
  readonly #writing = new Set<Promise<void>>()
  /** Resolves when the next trial has ended, on the disk. */
  #nextSettled = Promise.withResolvers<undefined>()

  constructor(folder: string, log: Log) {
    this.#store = new OverlayStore(folder, log)
    this.#log = log
    this.#failures = new FailureLog(log)
  }

  /** Reads what is there; see OverlayStore. */
  async load(): Promise<void> {
    await this.#store.load()
  }

  /** The one in force of those for which `isUsable`; undefined for the base file alone. */
  inForce(isUsable: (version: OverlayVersion) => boolean = () => true): OverlayVersion | undefined {
    return versionInForce(this.#store.versions, (version) => !this.#undone.has(version.number) && isUsable(version))
  }

  /** As it is by now. */
  find(number: number): OverlayVersion | undefined {
    return this.#store.versions.find((version) => version.number === number)
  }

  get unreadable(): OverlayFiles['unreadable'] {
    return this.#store.unreadable
  }

  /** Makes an overlay the newest version, on trial. Throws a WriteError, and then it is not there. */
  async add({ overlay, job, confirmSeconds, createdAtMs }: NewOverlay): Promise<OverlayVersion> {
    return await this.#turns.run(async () => {
      const version: OverlayVersion = {
        version: 1,
        number: this.#store.nextNumber,
        overlay,
        digest: digestOf(overlay),
        createdAt: new Date(createdAtMs).toISOString(),
        ...(job === undefined ? {} : { job }),
        state: 'trial',
        starts: 0,
        confirmSeconds,
      }
      await this.#store.write(version)
      return version
    })
  }

  /**
   * Counts a start of the process with the version on trial, durably, before that is used. The third reverts it, and so does one
   * that cannot be recorded: it could go on for ever.
   */
  async countStart(): Promise<void> {
    const version = this.inForce()
    if (version?.state !== 'trial') return
    const { number, starts } = version
    if (starts + 1 >= maxStarts) {
      this.revert(number, `the process ended ${maxStarts} times while it was on trial`)
      return
    }
    await this.#turns
      .run(async () => {
        await this.#store.write({ ...version, starts: starts + 1 })
      })
      .catch((error: unknown) => {
        this.revert(number, `a start with it could not be recorded: ${reportError(error).message}`)
      })
  }

  /** Ends the trial of a version well. Throws a WriteError, and then it is still on trial, or an AgentError when it is not. */
  async accept(number: number): Promise<void> {
    await this.#turns.run(async () => {
      const version = this.find(number)
      if (version?.state !== 'trial' || this.#undone.has(number)) throw notOnTrial(number)
      await this.#store.write({ ...version, state: 'accepted' })
    })
    this.#tellSettled()
  }

  /** Ends the trial of a version badly: it is not in force any more, nor ever again. */
  revert(number: number, reason: string): void {
    if (this.#undone.has(number)) return
    const shortened = reason.length > maxReason ? `${reason.slice(0, maxReason)}...` : reason
    const jobId = this.find(number)?.job?.jobId
    this.#undone.set(number, shortened)
    const fields = { version: number, jobId, reason: shortened }
    this.#log.error('a configuration is taken back: the one before is in force', fields)
    const writing = this.#writeRevert(number, shortened).finally(() => this.#writing.delete(writing))
    this.#writing.add(writing)
  }

  /** What came of the newest version of a job; undefined when there is none, or it is long gone. */
  outcomeOf(job: JobExecutionId): TrialOutcome | undefined {
    const version = this.#store.versions.findLast((each) => isSameJob(each.job, job))
    if (version === undefined) return undefined
    const { number, state, reason = 'no reason is known' } = version
    const isBeingUndone = state === 'accepted' && this.#undone.has(number) // it was accepted while that was asked for
    if (state === 'trial' || isBeingUndone) return 'running'
    return state === 'accepted' ? { accepted: true, number } : { reverted: true, number, reason }
  }

  /** As `outcomeOf`, once the trial is over; rejects with the signal's reason when it aborts before. */
  async settled(job: JobExecutionId, signal: AbortSignal): Promise<SettledTrial | undefined> {
    for (;;) {
      const outcome = this.outcomeOf(job)
      if (outcome !== 'running') return outcome
      await untilAborted(this.#nextSettled.promise, signal)
    }
  }

  /** Waits for reverts that are being written, but for no disk that does not take them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#lifetime.abort()
    await Promise.all(this.#writing)
  }

  #tellSettled(): void {
    this.#nextSettled.resolve(undefined)
    this.#nextSettled = Promise.withResolvers<undefined>()
  }

  async #writeRevert(number: number, reason: string): Promise<void> {
    const { signal } = this.#lifetime
    for (;;) {
      try {
        await this.#turns.run(async () => {
          const version = this.find(number)
          if (version === undefined || version.state === 'reverted') return
          await this.#store.write({ ...version, state: 'reverted', reason })
        })
        this.#failures.recovered('the revert of a configuration is recorded', { version: number })
        this.#tellSettled()
        return
      } catch (error) {
        this.#failures.failed('the revert of a configuration cannot be recorded', error, { version: number })
      }
      const isOver = await sleep(retryMs, signal).then(
        () => false,
        () => true,
      )
      if (isOver) return
    }
  }
}

function notOnTrial(number: number): AgentError {
  return new AgentError(`configuration version ${number} is not on trial any more`)
}
