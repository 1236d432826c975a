import { untilAborted } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type Pass, type PassOutcome } from '../lib/worker.ts'
import { faultsText } from './configure-operation.ts'
import { giveUp, takeBack, type GivingUp } from './given-up-job.ts'
import type { JobActions, JobName } from './job-actions.ts'
import { parseJobDocument, type JobOperation } from './job-document.ts'
import { isSameExecution, type JobLedger, type JobOutcome, type JobStep, type LedgerEntry } from './job-ledger.ts'
import { JobReports, type JobPart } from './job-reports.ts'
import { JobRun } from './job-run.ts'
import type { JobExecution, JobsService } from './jobs-service.ts'
import { failed, failedBy, WithdrawnError } from './running-job.ts'
import { ended, entryOf, isRun, whyNotAgain, withdrawn, type RunName, type TakenJob } from './taken-job.ts'

export interface JobsWorkerDeps {
  readonly service: JobsService
  readonly ledger: Pick<JobLedger, 'find' | 'unreported' | 'running' | 'put'>
  readonly actions: JobActions
  readonly log: Log
  /** How long an operation that ignores its end is waited for. Default 10 s. */
  readonly endWithinMs?: number
  /** After which the service is asked again what it may not know yet. Default 2 s; less in tests. */
  readonly askAgainMs?: number
}

export interface JobsStatus {
  readonly current: JobPart | undefined
  readonly last: JobPart | undefined
  /** Ended here, and not acknowledged by the cloud. */
  readonly unreported: number
}

interface Running {
  readonly name: JobName
  readonly part: JobPart
  readonly run: JobRun
}

const stepMs = 120_000
/** Notifications tell of new jobs; this only bounds what one that got lost can cost. */
const askEveryMs = 6 * 3_600_000
/** While there are jobs that it does not take the end of, it may tell of no other. */
const askHeldUpMs = 300_000
/** The service may still name a job that has just ended, and not yet one that it has told of. */
const askAgainMs = 2_000
const announcedAsks = 5
const endWithinMs = 10_000

/**
 * Takes the jobs of this appliance one after the other. Each is in the ledger before anything is done about it, so that none
 * runs twice, and ends in a report that is made until the cloud has acknowledged it. Disposing stops listening.
 */
export class JobsWorker implements Disposable {
  readonly worker: Worker
  readonly #deps: JobsWorkerDeps
  readonly #listening: Disposable
  #running: Running | undefined
  /** Resolves when the next job begins to run. */
  #nextBegun = Promise.withResolvers<undefined>()
  readonly #reports: JobReports
  #announced: { readonly jobId: string; asksLeft: number } | undefined

  constructor(deps: JobsWorkerDeps) {
    this.#deps = deps
    this.#reports = new JobReports(deps)
    this.worker = new Worker({ name: 'jobs', log: deps.log, stepMs, runPass: async (pass) => await this.#pass(pass) })
    this.#listening = deps.service.onChanged((jobId) => {
      this.#changed(jobId)
    })
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
  }

  status(): JobsStatus {
    return { current: this.#running?.part, last: this.#reports.last, unreported: this.#reports.unreported }
  }

  /** Resolves while this job runs, or any, at once or as soon as it does; rejects with the signal's reason on abort. */
  async untilRunning(signal: AbortSignal, job?: RunName): Promise<void> {
    while (!isRun(this.#running?.name, job)) await untilAborted(this.#nextBegun.promise, signal)
  }

  /**
   * Resolves once the cloud has accepted an update of this job, or of any, that was made after the call: proof of the whole
   * way there and back. Rejects when it does not run, when it was withdrawn, or when there is no connection.
   */
  async proveControl(signal: AbortSignal, job?: RunName): Promise<void> {
    const running = this.#running
    if (running === undefined || !isRun(running.name, job)) throw new AgentError('no job runs', { retryable: true })
    const answer = await running.run.renew(signal)
    if (answer.kind === 'refused') throw answer.error
    if (answer.kind !== 'accepted') throw new WithdrawnError('the job was withdrawn in the cloud')
  }

  /** A pass that is at work asks again by itself when it is through. */
  #changed(jobId: string | undefined): void {
    this.#announced = jobId === undefined ? undefined : { jobId, asksLeft: announcedAsks }
    if (this.#running !== undefined) this.#running.run.lookUp()
    else this.worker.requestPass().catch(() => undefined) // what it runs into is its own to report
  }

  async #pass(pass: Pass): Promise<PassOutcome> {
    const { service, ledger } = this.#deps
    for (const entry of await ledger.unreported()) await this.#reports.report(entry, pass.signal)
    const { askAgainMs: againMs = askAgainMs } = this.#deps
    await this.#reports.lookAtGivenUp(pass.signal)
    for (;;) {
      const execution = await service.next(pass.signal, this.#reports.givenUp)
      pass.beat(stepMs)
      await this.#endWithdrawn(execution, pass.signal)
      if (execution === undefined) return { nextInMs: this.#isAnnounced() ? againMs : this.#restMs() }
      if (execution.jobId === this.#announced?.jobId) this.#announced = undefined
      const known = await ledger.find(execution)
      if (known?.outcome !== undefined) {
        if (known.outcome.status === 'WITHDRAWN') await this.#reports.refuse(execution, notFound, pass.signal)
        await this.#reports.report(known, pass.signal)
        return { nextInMs: againMs * this.#reports.givenOutAgain(known) }
      }
      await this.#take(execution, known, pass)
      pass.signal.throwIfAborted()
    }
  }

  #restMs(): number {
    return this.#reports.givenUp.length === 0 ? askEveryMs : askHeldUpMs
  }

  /** A notification named a job that the service does not give out yet. It is asked for some more times. */
  #isAnnounced(): boolean {
    if (this.#announced === undefined || this.#announced.asksLeft === 0) return false
    this.#announced.asksLeft -= 1
    return true
  }

  /** What was begun here and has ended in the cloud meanwhile is not delivered again. */
  async #endWithdrawn(next: JobExecution | undefined, signal: AbortSignal): Promise<void> {
    const { service, ledger } = this.#deps
    for (const entry of await ledger.running()) {
      if (next !== undefined && isSameExecution(entry, next)) continue
      if (await service.isOpen(entry, signal)) continue
      const done = { ...entry, outcome: await takeBack(entry, this.#givingUp(signal)) }
      await ledger.put(done)
      this.#reports.ended(done)
      await this.#reports.report(done, signal)
    }
  }

  /** Brings one job to its end: done, failed, rejected or withdrawn. A stop of the agent leaves it for the next start. */
  async #take(execution: JobExecution, known: LedgerEntry | undefined, pass: Pass): Promise<void> {
    const { ledger, log } = this.#deps
    const parsed = parseJobDocument(execution.document)
    const entry = entryOf(execution, known, parsed)
    const { jobId, operation } = entry
    log.info(known === undefined ? 'job received' : 'job is taken up again', { jobId, operation })
    // one that was taken before stands there already
    const put = known === undefined ? ledger.put(entry) : Promise.resolve()
    const unsaved = await put.then(
      () => undefined,
      (error: unknown) =>
        new AgentError('the job cannot be written down, so it is not begun', { cause: error, hint: unsavedHint }),
    )
    if (unsaved !== undefined) {
      await this.#reports.refuse(execution, failedBy(unsaved), pass.signal)
      throw unsaved
    }
    const found = await this.#outcomeOf({ execution, known, entry, parsed }, pass)
    const outcome = found === withdrawn ? await takeBack(entry, this.#givingUp(pass.signal)) : found
    const done = { ...((await ledger.find(execution)) ?? entry), outcome }
    await ledger.put(done)
    this.#reports.ended(done)
    await this.#reports.report(done, pass.signal)
  }

  async #outcomeOf(job: TakenJob, pass: Pass): Promise<JobOutcome> {
    const { entry, parsed } = job
    if (parsed.kind === 'rejected') return ended({ status: 'REJECTED', details: { faults: faultsText(parsed.faults) } })
    const why = whyNotAgain(job)
    if (why !== undefined) return await giveUp(entry, why, this.#givingUp(pass.signal))
    const run = this.#runOf(job, parsed.operation)
    const part = { jobId: entry.jobId, operation: entry.operation, status: 'IN_PROGRESS', atMs: monotonicMs() }
    this.#running = { name: entry, part, run }
    this.#nextBegun.resolve(undefined)
    this.#nextBegun = Promise.withResolvers<undefined>()
    try {
      // without a connection nothing is begun, and the next pass takes the job up again
      const answer = await run.renew(pass.signal)
      if (answer.kind === 'refused') return this.#notBegun(entry, answer.error)
      return answer.kind === 'accepted' ? await this.#run(run, entry, pass) : withdrawn
    } finally {
      this.#running = undefined
    }
  }

  #notBegun(entry: LedgerEntry, error: AgentError): JobOutcome {
    this.#reports.countRefused(entry, error)
    return ended(failed(`AWS IoT does not take that it is begun: ${error.message}`))
  }

  #givingUp(signal: AbortSignal): GivingUp {
    const { actions, endWithinMs: withinMs = endWithinMs } = this.#deps
    return { actions, withinMs, signal }
  }

  async #run(run: JobRun, entry: LedgerEntry, pass: Pass): Promise<JobOutcome> {
    const { attempts } = entry
    const counted = this.#deps.ledger.put({ ...entry, attempts: attempts + 1 })
    // what an earlier run began may have come to something: that is to be told, once the disk takes it
    if (attempts > 0) await counted
    try {
      await counted
      pass.recovered() // a job may run for hours
      return ended(await run.run(pass))
    } catch (error) {
      pass.signal.throwIfAborted()
      return error instanceof WithdrawnError ? withdrawn : ended(failedBy(error))
    }
  }

  #runOf({ execution, known, entry }: TakenJob, operation: JobOperation): JobRun {
    const { service, actions, log, ledger, endWithinMs: within = endWithinMs } = this.#deps
    return new JobRun({
      execution,
      operation,
      resumed: known?.step,
      service,
      actions,
      saveStep: async (step: JobStep) => {
        await ledger.put({ ...entry, attempts: entry.attempts + 1, step })
      },
      log,
      endWithinMs: within,
    })
  }
}

const unsavedHint =
  'see that the disk of the appliance takes writes (its status names the fault), then make the job again'
/** It may have been asked for in another account, by a configuration on trial, or before the service knew it everywhere. */
const notFound = failed('the cloud did not know this job for a while, and it was ended here')
