import type {
  ExecutionKey,
  JobExecution,
  JobsService,
  JobStatus,
  JobUpdate,
  UpdateOutcome,
} from '../../agent/jobs/jobs-service.ts'
import { AgentError } from '../../agent/lib/errors.ts'

const ended: ReadonlySet<JobStatus> = new Set(['SUCCEEDED', 'FAILED', 'REJECTED', 'TIMED_OUT', 'CANCELED', 'REMOVED'])

interface StoredExecution {
  readonly key: ExecutionKey
  readonly document: unknown
  status: JobStatus
  versionNumber: number
  details: Readonly<Record<string, string>>
}

/** The jobs of one thing in memory, with the state machine of AWS IoT Jobs. Updates that arrived are remembered in order. */
export class FakeJobsService implements JobsService {
  readonly updates: JobUpdate[] = []
  isOnline = true
  /** Runs before each update is looked at; may throw. */
  beforeUpdate: (update: JobUpdate) => void = () => undefined
  /** What the service says of an update in the place of looking at it; undefined where it does look. */
  answer: (update: JobUpdate) => UpdateOutcome | undefined = () => undefined
  /** Runs after an update was taken and before its answer; may throw, as when the answer gets lost. */
  afterUpdate: (update: JobUpdate) => void = () => undefined
  readonly #executions: StoredExecution[] = []
  readonly #listeners = new Set<(jobId?: string) => void>()
  #queued = 0

  /** Queues a job and notifies. Answers the key of its execution. */
  queue(jobId: string, document: unknown, executionNumber = 1): ExecutionKey {
    this.#queued += 1
    const key = { jobId, executionNumber, queuedAt: 1_790_000_000 + this.#queued }
    this.#executions.push({ key, document, status: 'QUEUED', versionNumber: 1, details: {} })
    this.notify()
    return key
  }

  /** Has the service end an execution, as at a cancellation, and notifies. */
  end(key: ExecutionKey, status: 'CANCELED' | 'TIMED_OUT' | 'REMOVED'): void {
    const execution = this.#find(key)
    if (execution !== undefined) execution.status = status
    this.notify()
  }

  /** Deletes an execution and notifies. */
  delete(key: ExecutionKey): void {
    const execution = this.#find(key)
    if (execution !== undefined) this.#executions.splice(this.#executions.indexOf(execution), 1)
    this.notify()
  }

  notify(): void {
    const jobId = this.#next()?.key.jobId
    if (this.isOnline) for (const listener of this.#listeners) listener(jobId)
  }

  connect(): void {
    this.isOnline = true
    this.notify()
  }

  status(key: ExecutionKey): JobStatus | undefined {
    return this.#find(key)?.status
  }

  details(key: ExecutionKey): Readonly<Record<string, string>> | undefined {
    return this.#find(key)?.details
  }

  readonly onChanged = (listener: (jobId?: string) => void): Disposable => {
    this.#listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener)
      },
    }
  }

  readonly next = async (
    signal: AbortSignal,
    without: readonly ExecutionKey[] = [],
  ): Promise<JobExecution | undefined> => {
    await this.#reach(signal)
    const found = this.#next(without)
    if (found === undefined) return undefined
    const { key, status, versionNumber, document } = found
    return { ...key, status, versionNumber, document }
  }

  readonly isOpen = async (key: ExecutionKey, signal: AbortSignal): Promise<boolean> => {
    await this.#reach(signal)
    const status = this.status(key)
    return status !== undefined && !ended.has(status)
  }

  readonly update = async (update: JobUpdate, signal: AbortSignal): Promise<UpdateOutcome> => {
    await this.#reach(signal)
    this.beforeUpdate(update)
    const given = this.answer(update)
    if (given !== undefined) return given
    const found = this.#named(update.execution)
    if (found === undefined) return { kind: 'gone' }
    const mayBe = found.status === 'IN_PROGRESS' || ['IN_PROGRESS', 'REJECTED'].includes(update.status)
    if (ended.has(found.status) || !mayBe) return { kind: 'ended', status: found.status }
    this.updates.push(update)
    found.status = update.status
    found.versionNumber += 1
    found.details = update.details
    this.afterUpdate(update)
    return { kind: 'accepted' }
  }

  #next(without: readonly ExecutionKey[] = []): StoredExecution | undefined {
    const isWanted = ({ jobId }: ExecutionKey): boolean => !without.some((each) => each.jobId === jobId)
    const pending = this.#executions.filter(({ status, key }) => !ended.has(status) && isWanted(key))
    return pending.find(({ status }) => status === 'IN_PROGRESS') ?? pending[0]
  }

  async #reach(signal: AbortSignal): Promise<void> {
    await Promise.resolve()
    signal.throwIfAborted()
    if (!this.isOnline) throw new AgentError('there is no connection', { retryable: true })
  }

  /** An update names no time of queueing, so it may be taken by a job that was made anew under the id of a deleted one. */
  #named({ jobId, executionNumber }: ExecutionKey): StoredExecution | undefined {
    return this.#executions.find(({ key }) => key.jobId === jobId && key.executionNumber === executionNumber)
  }

  #find({ jobId, executionNumber, queuedAt }: ExecutionKey): StoredExecution | undefined {
    return this.#executions.find(
      ({ key }) => key.jobId === jobId && key.executionNumber === executionNumber && key.queuedAt === queuedAt,
    )
  }
}
