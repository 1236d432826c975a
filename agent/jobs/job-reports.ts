import type { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { jobDetails } from './job-details.ts'
import type { JobLedger, JobOutcome, LedgerEntry } from './job-ledger.ts'
import type { ExecutionKey, JobExecution, JobsService, UpdateOutcome } from './jobs-service.ts'
import { maxTries, RefusedEnds } from './refused-ends.ts'
import type { OperationOutcome } from './running-job.ts'

export interface JobReportsDeps {
  readonly service: Pick<JobsService, 'update' | 'isOpen'>
  readonly ledger: Pick<JobLedger, 'put'>
  readonly log: Log
}

/** `atMs` is on the monotonic clock: since when it runs, or when it ended. */
export interface JobPart {
  readonly jobId: string
  readonly operation: string
  readonly status: string
  readonly atMs: number
  /** How the cloud had ended it already, where that is not how it ended here. */
  readonly cloudStatus?: string
  /** Why the cloud does not take its end. */
  readonly endRefused?: string
}

/** Tells the cloud, the log and the status how jobs ended, and what of that the cloud does not take. */
export class JobReports {
  readonly #deps: JobReportsDeps
  readonly #refused = new RefusedEnds()
  #last: JobPart | undefined
  #unreported = 0

  constructor(deps: JobReportsDeps) {
    this.#deps = deps
  }

  /** The one that ended last. */
  get last(): JobPart | undefined {
    return this.#last
  }

  /** How many have ended here, and are not acknowledged by the cloud. */
  get unreported(): number {
    return this.#unreported
  }

  /** Those whose end the cloud does not take: they are not to be asked for. */
  get givenUp(): readonly ExecutionKey[] {
    return this.#refused.givenUp
  }

  async lookAtGivenUp(signal: AbortSignal): Promise<void> {
    for (const key of this.#refused.givenUp) {
      const isOpen = await this.#deps.service.isOpen(key, signal).catch(() => true) // what is next is asked for all the same
      if (!isOpen) this.#refused.drop(key)
    }
  }

  ended({ jobId, operation, outcome: { status, details } }: LedgerEntry & { readonly outcome: JobOutcome }): void {
    this.#last = { jobId, operation, status, atMs: monotonicMs() }
    this.#deps.log[status === 'SUCCEEDED' ? 'info' : 'warn']('job ended', { jobId, operation, status, ...details })
  }

  /** Rejects while the cloud cannot be told; the pass is then made again, and so is the report. */
  async report(entry: LedgerEntry, signal: AbortSignal): Promise<void> {
    const { service, ledger } = this.#deps
    const { outcome, jobId, executionNumber, queuedAt } = entry
    if (outcome === undefined) return
    if (outcome.status !== 'WITHDRAWN') {
      this.#unreported = 1
      const answer = await service.update(
        { execution: { jobId, executionNumber, queuedAt }, status: outcome.status, details: outcome.details },
        signal,
      )
      if (answer.kind === 'refused') this.#refusedEnd(entry, answer.error)
      else if (!entry.reported) this.#compare(entry, outcome.status, answer)
    }
    this.#unreported = 0
    if (!entry.reported) await ledger.put({ ...entry, reported: true })
  }

  /** Throws where it is tried again. */
  #refusedEnd(entry: LedgerEntry, error: AgentError): void {
    this.countRefused(entry, error)
    this.#tellRefused(entry, error.message)
  }

  #tellRefused({ jobId, operation, outcome }: LedgerEntry, why: string): void {
    const fields = { jobId, operation, status: outcome?.status, why }
    this.#deps.log.error('AWS IoT does not take the end of a job: it is reported no more', fields)
    if (this.#last?.jobId === jobId) this.#last = { ...this.#last, endRefused: why }
  }

  /** Whoever looks at the job in the cloud sees another end of it than the one that it had here. */
  #compare({ jobId, operation }: LedgerEntry, status: string, answer: UpdateOutcome): void {
    const cloudStatus = answer.kind === 'ended' ? answer.status : answer.kind === 'gone' ? 'deleted' : status
    if (cloudStatus === undefined || cloudStatus === status) return
    const fields = { jobId, operation, status, cloudStatus }
    this.#deps.log.warn('job was ended in the cloud before its outcome arrived: what it did stays', fields)
    if (this.#last?.jobId === jobId) this.#last = { ...this.#last, cloudStatus }
  }

  /** Of a job that has not begun, the service takes no failure, and tries none again that is rejected. */
  async refuse(execution: JobExecution, { details }: OperationOutcome, signal: AbortSignal): Promise<void> {
    const { service } = this.#deps
    const update = { execution, details: jobDetails(details) }
    if (execution.status === 'QUEUED') await service.update({ ...update, status: 'IN_PROGRESS' }, signal)
    await service.update({ ...update, status: 'FAILED' }, signal)
  }

  /** One that has ended here is given out again. Resolves with how much longer than usual to wait before asking again. */
  givenOutAgain(entry: LedgerEntry): number {
    const tries = this.#refused.count(entry)
    if (tries === maxTries) this.#tellRefused(entry, 'it gives the job out again')
    return Math.min(tries, maxTries)
  }

  /** One more update was not taken. Throws where it is to be tried again. */
  countRefused(key: ExecutionKey, error: AgentError): void {
    this.#refused.count(key)
    if (!this.#refused.isGivenUp(key)) throw error
  }
}
