import type { JobExecutionId } from '../../config/overlay-version.ts'
import { linkedAbort, withDeadline } from '../../lib/abort.ts'
import { DeadlineError } from '../../lib/errors.ts'
import { FailureLog } from '../../lib/failure-log.ts'
import type { Log } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { sleep } from '../../lib/sleep.ts'

/** What shows that an appliance can still be reached with the configuration that it tries. */
export interface TrialEvidence {
  /** Resolves when credentials that are valid now are held by this session: fresh ones for a new session. */
  credentials(signal: AbortSignal): Promise<void>
  /** Resolves when the control connection is up and an update of this job, or of any, was accepted over it. */
  control(signal: AbortSignal, job?: JobExecutionId): Promise<void>
  /** What keeps them from being had, for people; undefined when nothing is known. */
  why?(): string | undefined
}

export interface ConfigTrialOptions {
  readonly number: number
  /** Which job it is for. */
  readonly job?: JobExecutionId | undefined
  readonly confirmMs: number
  readonly log: Log
  /** Makes the version accepted, durably. */
  readonly accept: () => Promise<void>
  readonly revert: (reason: string) => void
}

const retryMs = 1_000

/**
 * The trial of one version, which ends in `accept` or `revert`, once, or with its disposal in neither. The time begins to
 * run with the first generation that uses the version, on the monotonic clock.
 */
export class ConfigTrial implements AsyncDisposable {
  readonly number: number
  readonly #options: ConfigTrialOptions
  readonly #failures: FailureLog
  readonly #end = new AbortController()
  #evidence: TrialEvidence | undefined
  #missing = new Set<string>()
  #gatherAnew: () => void = () => undefined
  #ended: Promise<void> | undefined
  #endsAtMs: number | undefined

  constructor(options: ConfigTrialOptions) {
    this.number = options.number
    this.#options = options
    this.#failures = new FailureLog(options.log)
  }

  /** A generation of the version runs, in the session that `evidence` is of. The evidence of an earlier one counts no more. */
  running(evidence: TrialEvidence): void {
    this.#evidence = evidence
    this.#gatherAnew()
    this.#endsAtMs ??= monotonicMs() + this.#options.confirmMs
    this.#ended ??= this.#run(this.#endsAtMs)
  }

  /** When its time is up, on the monotonic clock; undefined while no generation of the version has run. */
  get endsAtMs(): number | undefined {
    return this.#endsAtMs
  }

  /** Ends it without an outcome. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort()
    await this.#ended
  }

  async #run(endsAtMs: number): Promise<void> {
    const { signal } = this.#end
    const { revert, log, number } = this.#options
    while (!signal.aborted) {
      const leftMs = endsAtMs - monotonicMs()
      if (leftMs <= 0) {
        revert(this.#reason())
        return
      }
      if (await this.#confirm(leftMs)) {
        log.info('the new configuration is confirmed', { version: number })
        return
      }
    }
  }

  /** Whether it is accepted; when not, it is worth another try within the time. */
  async #confirm(leftMs: number): Promise<boolean> {
    using gathering = linkedAbort(this.#end.signal)
    const { signal } = gathering.controller
    this.#gatherAnew = () => {
      gathering.controller.abort()
    }
    try {
      await withDeadline({ signal, withinMs: leftMs, what: 'the trial' }, () => this.#gather(signal))
      this.#gatherAnew = () => undefined
      await this.#options.accept()
      return true
    } catch (error) {
      if (signal.aborted || error instanceof DeadlineError) return false
      this.#failures.failed('the new configuration cannot be confirmed', error, { version: this.number })
      await sleep(Math.min(retryMs, leftMs), this.#end.signal).catch(() => undefined)
      return false
    } finally {
      gathering.controller.abort()
    }
  }

  async #gather(signal: AbortSignal): Promise<void> {
    const evidence = this.#evidence
    if (evidence === undefined) return
    const missing = new Set(['no valid credentials', 'no accepted update of the job'])
    const [credentials = '', control = ''] = missing
    this.#missing = missing
    const had = async (what: string, wait: Promise<void>): Promise<void> => {
      await wait
      missing.delete(what)
    }
    await Promise.all([
      had(credentials, evidence.credentials(signal)),
      had(control, evidence.control(signal, this.#options.job)),
    ])
  }

  #reason(): string {
    const missing = [...this.#missing]
    const why = this.#evidence?.why?.()
    const what = missing.length === 0 ? 'it could not be recorded' : missing.join(' and ')
    const seconds = Math.round(this.#options.confirmMs / 1000)
    return `not confirmed within ${seconds} s: ${what}${why === undefined ? '' : ` (${why})`}`
  }
}
