import { linkedAbort, withDeadline } from '../lib/abort.ts'
import { backoffMs } from '../lib/backoff.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import type { Pass } from '../lib/worker.ts'
import type { JobActions } from './job-actions.ts'
import { jobDetails } from './job-details.ts'
import type { JobOperation } from './job-document.ts'
import type { JobStep } from './job-ledger.ts'
import type { ExecutionKey, JobsService, UpdateOutcome } from './jobs-service.ts'
import { deadlineMs, runOperation } from './operations.ts'
import { WithdrawnError, type OperationOutcome, type RunningJob } from './running-job.ts'

export interface JobRunOptions {
  readonly execution: ExecutionKey
  readonly operation: JobOperation
  /** How far an earlier run was that was cut off. */
  readonly resumed: JobStep | undefined
  readonly service: JobsService
  readonly actions: JobActions
  /** Writes durably how far the job is. */
  readonly saveStep: (step: JobStep) => Promise<void>
  readonly log: Log
  /** How long an operation that ignores its end is waited for. */
  readonly endWithinMs: number
}

type Details = Readonly<Record<string, string | number | undefined>>

/** How often the pass says that it is alive, and the longest that a withdrawal goes unseen while there is a connection. */
const watchEveryMs = 60_000
const renewEveryMs = 300_000
/** After what could not be told or asked. */
const retry = { baseMs: 2_000, capMs: watchEveryMs, floorMs: 1_000 }
const minuteMs = 60_000
/** What the step timer in the cloud leaves for the last report, and the longest that it takes ("Jobs limits"). */
const spareMinutes = 5
const longestStepMinutes = 10_080

/** One operation on its way: its end by deadline, withdrawal or stop, and what the cloud hears of it meanwhile. */
export class JobRun {
  readonly #options: JobRunOptions
  readonly #endsMs: number
  #details: Details = {}
  #renewedMs = -Infinity
  #isProgressUntold = false
  /** Something may have changed in the cloud since it was last looked up. */
  #isChanged = false
  #wake: () => void = () => undefined
  #isWithdrawn = false
  /** Ends the operation; set while it runs. */
  #end: AbortController | undefined

  constructor(options: JobRunOptions) {
    this.#options = options
    this.#endsMs = monotonicMs() + deadlineMs(options.operation)
  }

  /**
   * Tells the cloud that the job is in progress, and for how long to wait for more. Anything but `accepted` means that the
   * job is not to be done, or not any more; where it is `refused`, it may go on without.
   */
  async renew(signal: AbortSignal): Promise<UpdateOutcome> {
    const { service, execution } = this.#options
    this.#isProgressUntold = false
    const leftMinutes = Math.ceil((this.#endsMs - monotonicMs()) / minuteMs) + spareMinutes
    const outcome = await service.update(
      {
        execution,
        status: 'IN_PROGRESS',
        details: jobDetails(this.#details),
        stepTimeoutMinutes: Math.min(Math.max(leftMinutes, 1), longestStepMinutes),
      },
      signal,
    )
    this.#renewedMs = monotonicMs()
    if (outcome.kind === 'ended' || outcome.kind === 'gone') this.#withdraw()
    return outcome
  }

  /** Something has changed in the cloud: perhaps this job is withdrawn. */
  lookUp(): void {
    this.#isChanged = true
    this.#wake()
  }

  /**
   * Runs the operation to its end. Rejects as it does, with a WithdrawnError when the cloud has ended the job, a DeadlineError
   * when its time was up, and the pass's reason at a stop. An operation that ignores its end is left behind.
   */
  async run(pass: Pass): Promise<OperationOutcome> {
    using end = linkedAbort(pass.signal)
    this.#end = end.controller
    if (this.#isWithdrawn) this.#withdraw()
    const watched = this.#watch(pass, end.controller.signal)
    const { operation, endWithinMs, log } = this.#options
    const { promise: ended, resolve } = Promise.withResolvers<undefined>()
    try {
      return await withDeadline(
        { signal: end.controller.signal, withinMs: Math.max(this.#endsMs - monotonicMs(), 0), what: 'the job' },
        async (signal) => {
          try {
            return await runOperation(operation, this.#job(signal))
          } finally {
            resolve(undefined)
          }
        },
      )
    } finally {
      end.controller.abort()
      await withDeadline(
        { signal: new AbortController().signal, withinMs: endWithinMs, what: 'the end of the operation' },
        async () => {
          await ended
        },
      ).catch((error: unknown) => {
        log.error('operation ignores its end and is left behind', { operation: operation.operation, error })
      })
      await watched
    }
  }

  /** Whoever learnt of it. */
  #withdraw(): void {
    this.#isWithdrawn = true
    this.#end?.abort(new WithdrawnError('the job was withdrawn in the cloud'))
  }

  #job(signal: AbortSignal): RunningJob {
    const { execution, actions, resumed, saveStep } = this.#options
    return {
      jobId: execution.jobId,
      executionNumber: execution.executionNumber,
      queuedAt: execution.queuedAt,
      actions,
      signal,
      resumed,
      step: async (name, data = {}) => {
        signal.throwIfAborted() // what it has come to may be written down already
        await saveStep({ name, data })
        signal.throwIfAborted()
      },
      progress: (details) => {
        this.#details = details
        this.#isProgressUntold = true
        this.#wake()
      },
    }
  }

  /** Ends with the operation. What cannot be told or asked now is so again soon: the operation goes on meanwhile. */
  async #watch(pass: Pass, end: AbortSignal): Promise<void> {
    let failures = 0
    while (!end.aborted) {
      pass.beat(2 * watchEveryMs)
      try {
        await this.#check(end)
        failures = 0
        if (this.#isChanged || this.#isProgressUntold) continue
      } catch (error) {
        this.#options.log.debug('the cloud cannot be told about the job now', { error })
        this.#isChanged = true
        failures += 1
      }
      await this.#rest(failures === 0 ? watchEveryMs : backoffMs(failures - 1, retry), end)
    }
  }

  async #check(end: AbortSignal): Promise<void> {
    const { service, execution } = this.#options
    const isDue = this.#isProgressUntold || monotonicMs() - this.#renewedMs >= renewEveryMs
    if (this.#isChanged) {
      this.#isChanged = false
      // first: an update would be taken by a job that was made anew under the id of this one
      if (!(await service.isOpen(execution, end))) {
        this.#withdraw()
        return
      }
    }
    if (isDue) await this.renew(end)
  }

  /** Until something is to be told or asked, but not for long. */
  async #rest(restMs: number, signal: AbortSignal): Promise<void> {
    using rest = linkedAbort(signal)
    const { controller } = rest
    this.#wake = () => {
      controller.abort(new AgentError('woken'))
    }
    await sleep(restMs, controller.signal).catch(() => undefined)
    this.#wake = () => undefined
  }
}
