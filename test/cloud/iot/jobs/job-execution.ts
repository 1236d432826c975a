export type ExecutionStatus =
  'QUEUED' | 'IN_PROGRESS' | 'SUCCEEDED' | 'FAILED' | 'REJECTED' | 'TIMED_OUT' | 'CANCELED' | 'REMOVED'

/** What a device may set. */
export type DeviceStatus = Extract<ExecutionStatus, 'IN_PROGRESS' | 'SUCCEEDED' | 'FAILED' | 'REJECTED'>

export type StatusDetails = Readonly<Record<string, string>>

/** One run of a job on one thing. Times are the cloud's, in milliseconds since 1970. */
export interface JobExecution {
  readonly jobId: string
  readonly thingName: string
  /** 1, and one more for each retry. */
  readonly executionNumber: number
  readonly status: ExecutionStatus
  readonly statusDetails: StatusDetails | undefined
  /** 1 when queued; one more with each change. */
  readonly versionNumber: number
  readonly queuedAtMs: number
  readonly startedAtMs: number | undefined
  readonly lastUpdatedAtMs: number
  /** When the job's own timeout ends it: set once, when it starts. */
  readonly inProgressDeadlineMs: number | undefined
  /** When the step timer ends it. */
  readonly stepDeadlineMs: number | undefined
}

/** What starting an execution sets. */
export interface ExecutionStart {
  readonly statusDetails?: StatusDetails | undefined
  /** 1 to 10080; -1 cancels the timer. */
  readonly stepTimeoutInMinutes?: number | undefined
}

export interface ExecutionUpdate extends ExecutionStart {
  readonly status: DeviceStatus
  readonly expectedVersion?: number | undefined
}

export interface ExecutionTime {
  readonly nowMs: number
  readonly inProgressTimeoutInMinutes: number | undefined
}

/** A change that was made, or why it was not; `code` is the service's. */
export type Transition =
  | { readonly kind: 'changed'; readonly execution: JobExecution }
  | { readonly kind: 'refused'; readonly code: 'VersionMismatch' | 'InvalidStateTransition'; readonly message: string }

const minuteMs = 60_000

export function queueExecution(
  { jobId, thingName, executionNumber }: Pick<JobExecution, 'jobId' | 'thingName' | 'executionNumber'>,
  nowMs: number,
): JobExecution {
  return {
    jobId,
    thingName,
    executionNumber,
    status: 'QUEUED',
    statusDetails: undefined,
    versionNumber: 1,
    queuedAtMs: nowMs,
    startedAtMs: undefined,
    lastUpdatedAtMs: nowMs,
    inProgressDeadlineMs: undefined,
    stepDeadlineMs: undefined,
  }
}

export function isTerminal({ status }: Pick<JobExecution, 'status'>): boolean {
  return status !== 'QUEUED' && status !== 'IN_PROGRESS'
}

/**
 * StartNextPendingJobExecution on the execution that is next: one that is in progress already stays exactly as it is,
 * step timer included (of the timer, AWS's documents say nothing).
 */
export function startExecution(execution: JobExecution, start: ExecutionStart, time: ExecutionTime): JobExecution {
  return execution.status === 'QUEUED' ? inProgress(execution, start, time) : execution
}

/** UpdateJobExecution ("Job execution states"). Of a queued execution, a device can only say that it starts or rejects it. */
export function updateExecution(execution: JobExecution, update: ExecutionUpdate, time: ExecutionTime): Transition {
  const { expectedVersion, status, statusDetails = execution.statusDetails } = update
  if (expectedVersion !== undefined && expectedVersion !== execution.versionNumber) {
    return {
      kind: 'refused',
      code: 'VersionMismatch',
      message: `Expected version ${expectedVersion} but the version is ${execution.versionNumber}`,
    }
  }
  if (!mayBecome(execution.status, status)) {
    return {
      kind: 'refused',
      code: 'InvalidStateTransition',
      message: `The job execution cannot go from ${execution.status} to ${status}`,
    }
  }
  return {
    kind: 'changed',
    execution:
      status === 'IN_PROGRESS'
        ? inProgress(execution, update, time)
        : ended({ ...execution, statusDetails }, status, time.nowMs),
  }
}

/** What the service itself does to an execution that is not at its end. */
export function endExecution(
  execution: JobExecution,
  status: Extract<ExecutionStatus, 'TIMED_OUT' | 'CANCELED' | 'REMOVED'>,
  nowMs: number,
): JobExecution {
  return ended(execution, status, nowMs)
}

/** When a timer ends the execution; undefined when none runs. */
export function deadlineOf({ inProgressDeadlineMs, stepDeadlineMs }: JobExecution): number | undefined {
  const deadlines = [inProgressDeadlineMs, stepDeadlineMs].filter((deadline) => deadline !== undefined)
  return deadlines.length === 0 ? undefined : Math.min(...deadlines)
}

function mayBecome(from: ExecutionStatus, to: DeviceStatus): boolean {
  if (from === 'IN_PROGRESS') return true
  return from === 'QUEUED' && (to === 'IN_PROGRESS' || to === 'REJECTED')
}

function inProgress(
  execution: JobExecution,
  { statusDetails = execution.statusDetails, stepTimeoutInMinutes }: ExecutionStart,
  { nowMs, inProgressTimeoutInMinutes: timeout }: ExecutionTime,
): JobExecution {
  return {
    ...changed(execution, 'IN_PROGRESS', nowMs),
    statusDetails,
    startedAtMs: execution.startedAtMs ?? nowMs,
    inProgressDeadlineMs:
      execution.inProgressDeadlineMs ?? (timeout === undefined ? undefined : nowMs + timeout * minuteMs),
    stepDeadlineMs: stepDeadline(execution.stepDeadlineMs, stepTimeoutInMinutes, nowMs),
  }
}

function stepDeadline(current: number | undefined, minutes: number | undefined, nowMs: number): number | undefined {
  if (minutes === undefined) return current
  return minutes === -1 ? undefined : nowMs + minutes * minuteMs
}

function ended(execution: JobExecution, status: ExecutionStatus, nowMs: number): JobExecution {
  return { ...changed(execution, status, nowMs), inProgressDeadlineMs: undefined, stepDeadlineMs: undefined }
}

function changed(execution: JobExecution, status: ExecutionStatus, nowMs: number): JobExecution {
  return { ...execution, status, versionNumber: execution.versionNumber + 1, lastUpdatedAtMs: nowMs }
}
