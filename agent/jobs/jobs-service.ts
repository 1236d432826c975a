import type { AgentError } from '../lib/errors.ts'

/** The statuses of a job execution (AWS IoT Core developer guide, "Jobs and job execution states"). */
export type JobStatus =
  'QUEUED' | 'IN_PROGRESS' | 'SUCCEEDED' | 'FAILED' | 'REJECTED' | 'TIMED_OUT' | 'CANCELED' | 'REMOVED'

/** One execution of a job for this appliance. A job that is retried, or made anew under its id, has another. */
export interface ExecutionKey {
  readonly jobId: string
  readonly executionNumber: number
  /** Seconds since 1970. A job that was deleted and made again begins to count its executions anew. */
  readonly queuedAt: number
}

export interface JobExecution extends ExecutionKey {
  readonly status: JobStatus
  /** Goes up with each update, whoever makes it. */
  readonly versionNumber: number
  /** As the operator wrote it: anything that JSON can hold. */
  readonly document: unknown
}

export interface JobUpdate {
  readonly execution: ExecutionKey
  readonly status: 'IN_PROGRESS' | 'SUCCEEDED' | 'FAILED' | 'REJECTED'
  /** Within the service's rules; see job-details.ts. */
  readonly details: Readonly<Record<string, string>>
  /** Only with IN_PROGRESS: the service ends the execution as TIMED_OUT when no update comes for so long. */
  readonly stepTimeoutMinutes?: number
}

/** What came of an update. `ended` and `gone` mean that nothing more is to be said of this execution. */
export type UpdateOutcome =
  | { readonly kind: 'accepted' }
  /** It has ended already, by an update before or by the service: cancelled, timed out, removed. */
  | { readonly kind: 'ended'; readonly status: JobStatus | undefined }
  /** The service does not know it (any more): deleted. */
  | { readonly kind: 'gone' }
  /** The service has understood it and does not take it: the same update again is hardly taken. */
  | { readonly kind: 'refused'; readonly error: AgentError }

/**
 * The jobs of this appliance in the cloud. Every method has a deadline of its own, may be called again after a failure, and
 * throws an AgentError: `retryable` while there is no connection, whose cause then says why. On abort it rejects with
 * the signal's reason. Nothing is kept for an appliance that is not connected, so whoever works on jobs asks after each
 * connection what is next.
 */
export interface JobsService {
  /**
   * Calls the listener after each connection, and when another execution became the next one: with the id of its job, where
   * there is one. What is asked then may still be answered as it was before. Disposing ends that.
   */
  readonly onChanged: (listener: (jobId?: string) => void) => Disposable
  /** The one in progress, else the oldest that is queued, none of `without`; undefined when there is none. */
  readonly next: (signal: AbortSignal, without?: readonly ExecutionKey[]) => Promise<JobExecution | undefined>
  /** Whether an execution is queued or in progress: not once it has ended in whatever way, or was deleted. */
  readonly isOpen: (execution: ExecutionKey, signal: AbortSignal) => Promise<boolean>
  /** Idempotent: an update that was made already, and whose answer was lost, may be made again. */
  readonly update: (update: JobUpdate, signal: AbortSignal) => Promise<UpdateOutcome>
}
