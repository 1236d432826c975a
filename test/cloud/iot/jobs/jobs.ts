import { Eventually } from '../../eventually.ts'
import type { Change } from '../../roles.ts'
import {
  deadlineOf,
  endExecution,
  isTerminal,
  queueExecution,
  startExecution,
  updateExecution,
  type ExecutionStart,
  type ExecutionUpdate,
  type JobExecution,
  type Transition,
} from './job-execution.ts'
import { compareQueues, findExecution, pendingExecutions } from './job-queue.ts'
import { checkJob, JobsControlError, retriesLeft, type CreateJob, type Job } from './jobs-control.ts'

export interface JobsOptions {
  readonly now: () => number
  readonly thingExists: (thingName: string) => boolean
  /** Gets what changed in the queue of a thing. */
  readonly onChange: (thingName: string, before: readonly JobExecution[], after: readonly JobExecution[]) => void
}

export interface CancelJob extends Change {
  /** Executions in progress too. */
  readonly force?: boolean
}

/** A job with its executions, as an operator sees it. */
export interface JobOverview extends Job {
  readonly executions: readonly JobExecution[]
}

interface Thing {
  /** Oldest first. */
  executions: readonly JobExecution[]
  /** The same, as reads see it. */
  readonly seen: Eventually<readonly JobExecution[]>
}

interface Scheduled {
  readonly atMs: number
  readonly run: () => void
}

/** Jobs and their executions: the control plane, and what devices do to them. Time passes when `tick` is called. */
export class Jobs {
  readonly #options: JobsOptions
  readonly #jobs = new Map<string, Job>()
  readonly #things = new Map<string, Thing>()
  #scheduled: readonly Scheduled[] = []
  /** How long reads show what was before a change: what AWS calls eventual consistency. */
  staleReadsMs = 0

  constructor(options: JobsOptions) {
    this.#options = options
  }

  /** Queues the job on its things, once the change is visible. Throws a JobsControlError. */
  createJob(options: CreateJob, { visibleAfterMs = 0 }: Change = {}): void {
    const job = checkJob(options)
    if (this.#jobs.has(job.jobId)) throw new JobsControlError('ResourceAlreadyExistsException', job.jobId)
    const unknown = job.targets.find((target) => !this.#options.thingExists(target))
    if (unknown !== undefined) throw new JobsControlError('ResourceNotFoundException', `there is no thing "${unknown}"`)
    this.#jobs.set(job.jobId, job)
    this.#after(visibleAfterMs, () => {
      if (this.#jobs.get(job.jobId) !== job) return // canceled or deleted meanwhile
      for (const thingName of job.targets) this.#queue(thingName, job.jobId, 1)
    })
  }

  /** CancelJob: ends what is queued, with `force` what is in progress too. What goes on without is no error. */
  cancelJob(jobId: string, { force = false, visibleAfterMs = 0 }: CancelJob = {}): void {
    const job = this.#job(jobId)
    if (job.status === 'COMPLETED') throw new JobsControlError('InvalidRequestException', `${jobId} is completed`)
    this.#jobs.set(jobId, { ...job, status: 'CANCELED' })
    this.#after(visibleAfterMs, () => {
      for (const thingName of job.targets) {
        this.#end(thingName, jobId, (execution) => force || execution.status === 'QUEUED')
      }
    })
  }

  /** CancelJobExecution: ends the job on one thing, what is in progress only with `force`. Throws a JobsControlError. */
  cancelExecution(thingName: string, jobId: string, { force = false }: { readonly force?: boolean } = {}): void {
    const { status } = this.describeExecution(thingName, jobId)
    if (status !== 'QUEUED' && !(status === 'IN_PROGRESS' && force)) {
      throw new JobsControlError('InvalidStateTransitionException', `${jobId} is ${status} on ${thingName}`)
    }
    this.#end(thingName, jobId, () => true)
  }

  /** Forgets the job and its executions; one that is not at its end only with `force`. */
  deleteJob(jobId: string, { force = false }: { readonly force?: boolean } = {}): void {
    const job = this.#job(jobId)
    if (job.status === 'IN_PROGRESS' && !force) {
      throw new JobsControlError('InvalidStateTransitionException', `${jobId} is in progress`)
    }
    this.#jobs.delete(jobId)
    for (const thingName of job.targets) {
      this.#commit(
        thingName,
        this.#thing(thingName).executions.filter((execution) => execution.jobId !== jobId),
      )
    }
  }

  /** Ends the job on one thing, as when it leaves the group that is the target. */
  removeTarget(jobId: string, thingName: string): void {
    this.#job(jobId)
    this.#end(thingName, jobId, () => true, 'REMOVED')
  }

  listJobs(): readonly JobOverview[] {
    this.tick()
    return [...this.#jobs.values()].map((job) => ({ ...job, executions: this.#executionsOf(job) }))
  }

  /** The latest execution of a job on a thing, or the one with this number. Throws a JobsControlError. */
  describeExecution(thingName: string, jobId: string, executionNumber?: number): JobExecution {
    this.tick()
    const execution = findExecution(this.executions(thingName), jobId, executionNumber)
    if (execution === undefined) {
      throw new JobsControlError('ResourceNotFoundException', `there is no execution of ${jobId} on ${thingName}`)
    }
    return execution
  }

  documentOf(jobId: string): unknown {
    return this.#jobs.get(jobId)?.document
  }

  /** Everything that there is of a thing, oldest first. */
  executions(thingName: string): readonly JobExecution[] {
    return this.#things.get(thingName)?.executions ?? []
  }

  /** As reads of a device see it. */
  seenExecutions(thingName: string): readonly JobExecution[] {
    return this.#things.get(thingName)?.seen.get() ?? []
  }

  /** Starts what is next, unless it is in progress already; undefined when nothing is pending. */
  startNext(thingName: string, start: ExecutionStart): JobExecution | undefined {
    const [next] = pendingExecutions(this.executions(thingName))
    if (next === undefined) return undefined
    const started = startExecution(next, start, this.#timeOf(next))
    if (started !== next) this.#replace(next, started)
    return started
  }

  update(execution: JobExecution, update: ExecutionUpdate): Transition {
    const transition = updateExecution(execution, update, this.#timeOf(execution))
    if (transition.kind === 'changed') this.#replace(execution, transition.execution)
    return transition
  }

  /** Does what is due by now: changes that become visible, executions that time out. */
  tick(): void {
    const nowMs = this.#options.now()
    const due = this.#scheduled.filter(({ atMs }) => atMs <= nowMs)
    this.#scheduled = this.#scheduled.filter(({ atMs }) => atMs > nowMs)
    for (const { run } of due) run()
    for (const { executions } of this.#things.values()) {
      for (const execution of executions) {
        if ((deadlineOf(execution) ?? Infinity) <= nowMs) {
          this.#replace(execution, endExecution(execution, 'TIMED_OUT', nowMs))
        }
      }
    }
  }

  #after(delayMs: number, run: () => void): void {
    if (delayMs <= 0) run()
    else this.#scheduled = [...this.#scheduled, { atMs: this.#options.now() + delayMs, run }]
  }

  #queue(thingName: string, jobId: string, executionNumber: number): void {
    const queued = queueExecution({ jobId, thingName, executionNumber }, this.#options.now())
    this.#commit(thingName, [...this.#thing(thingName).executions, queued])
  }

  #end(
    thingName: string,
    jobId: string,
    concerns: (execution: JobExecution) => boolean,
    status: 'CANCELED' | 'REMOVED' = 'CANCELED',
  ): void {
    const execution = findExecution(this.executions(thingName), jobId)
    if (execution === undefined || isTerminal(execution) || !concerns(execution)) return
    this.#replace(execution, endExecution(execution, status, this.#options.now()))
  }

  #replace(before: JobExecution, after: JobExecution): void {
    const { executions } = this.#thing(before.thingName)
    const replaced = executions.map((execution) => (execution === before ? after : execution))
    const job = this.#jobs.get(after.jobId)
    const ended = replaced.filter((execution) => execution.jobId === after.jobId && isTerminal(execution))
    const again = job !== undefined && isTerminal(after) && retriesLeft(job, ended)
    const retry = queueExecution({ ...after, executionNumber: after.executionNumber + 1 }, this.#options.now())
    this.#commit(before.thingName, again ? [...replaced, retry] : replaced)
    this.#complete(job)
  }

  #complete(job: Job | undefined): void {
    if (job?.status !== 'IN_PROGRESS' || !this.#executionsOf(job).every(isTerminal)) return
    this.#jobs.set(job.jobId, { ...job, status: 'COMPLETED' })
  }

  #commit(thingName: string, executions: readonly JobExecution[]): void {
    const thing = this.#thing(thingName)
    const before = thing.executions
    thing.executions = executions
    thing.seen.set(executions, this.staleReadsMs)
    const { pendingChanged, nextChanged } = compareQueues(before, executions)
    if (pendingChanged || nextChanged) this.#options.onChange(thingName, before, executions)
  }

  #executionsOf({ jobId, targets }: Job): readonly JobExecution[] {
    return targets.flatMap((thing) => this.executions(thing).filter((execution) => execution.jobId === jobId))
  }

  #timeOf({ jobId }: JobExecution): {
    readonly nowMs: number
    readonly inProgressTimeoutInMinutes: number | undefined
  } {
    return {
      nowMs: this.#options.now(),
      inProgressTimeoutInMinutes: this.#jobs.get(jobId)?.inProgressTimeoutInMinutes,
    }
  }

  #thing(thingName: string): Thing {
    const known = this.#things.get(thingName)
    if (known !== undefined) return known
    const thing: Thing = {
      executions: [],
      seen: new Eventually<readonly JobExecution[]>(this.#options.now, []),
    }
    this.#things.set(thingName, thing)
    return thing
  }

  #job(jobId: string): Job {
    const job = this.#jobs.get(jobId)
    if (job === undefined) throw new JobsControlError('ResourceNotFoundException', `there is no job "${jobId}"`)
    return job
  }
}
