import { iotjobs, mqtt_request_response } from 'aws-iot-device-sdk-v2'

import type { ExecutionKey, JobExecution, JobStatus, UpdateOutcome } from '../jobs/jobs-service.ts'
import { AgentError } from '../lib/errors.ts'

/** The types say Date where the service sends, and the SDK gives, seconds as numbers. */
export function toExecution(data: iotjobs.model.JobExecutionData): JobExecution {
  const { jobId = '', executionNumber = 0, versionNumber = 0, queuedAt, status, jobDocument } = data
  return {
    jobId,
    executionNumber,
    versionNumber,
    queuedAt: Number(queuedAt),
    status: toStatus(status),
    document: jobDocument,
  }
}

export function isPending(status: JobStatus): boolean {
  return status === 'QUEUED' || status === 'IN_PROGRESS'
}

function toStatus(status: string | undefined): JobStatus {
  switch (status) {
    case 'QUEUED':
    case 'IN_PROGRESS':
    case 'SUCCEEDED':
    case 'FAILED':
    case 'REJECTED':
    case 'TIMED_OUT':
    case 'CANCELED':
    case 'REMOVED':
      return status
    default:
      throw new AgentError(`AWS IoT Jobs answers with a status that is not known: ${String(status)}`, {
        retryable: true,
      })
  }
}

/** An answer of the service that is no success; `answer` is as it came. */
class JobsServiceError extends AgentError {
  override readonly name = 'JobsServiceError'
  readonly answer: iotjobs.model.V2ErrorResponse

  constructor(operation: string, answer: iotjobs.model.V2ErrorResponse) {
    const { code = 'no code', message = '' } = answer
    super(`${operation}: ${code}${message === '' ? '' : `: ${message}`}`, { retryable: true })
    this.answer = answer
  }
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof JobsServiceError ? error.answer.code : undefined
}

export function oldestFirst(summaries: readonly iotjobs.model.JobExecutionSummary[]): readonly ExecutionKey[] {
  return summaries
    .map(({ jobId = '', executionNumber = 0, queuedAt }) => ({ jobId, executionNumber, queuedAt: Number(queuedAt) }))
    .sort((one, other) => one.queuedAt - other.queuedAt)
}

export function isSameExecution(one: ExecutionKey, other: ExecutionKey): boolean {
  return one.jobId === other.jobId && one.executionNumber === other.executionNumber && one.queuedAt === other.queuedAt
}

/** Which refusals say that there is nothing left to report, or that it is not taken; any other is for the caller to try again. */
export function settledBy(error: unknown): UpdateOutcome {
  if (!(error instanceof JobsServiceError)) throw error
  const { code, executionState } = error.answer
  switch (code) {
    case iotjobs.model.RejectedErrorCode.RESOURCE_NOT_FOUND:
      return { kind: 'gone' }
    case iotjobs.model.RejectedErrorCode.TERMINAL_STATE_REACHED:
    case iotjobs.model.RejectedErrorCode.INVALID_STATE_TRANSITION: {
      const status = executionState?.status === undefined ? undefined : toStatus(executionState.status)
      return status !== undefined && isPending(status) ? { kind: 'refused', error } : { kind: 'ended', status }
    }
    case iotjobs.model.RejectedErrorCode.INVALID_REQUEST:
    case iotjobs.model.RejectedErrorCode.INVALID_JSON:
    case iotjobs.model.RejectedErrorCode.INVALID_TOPIC:
    case iotjobs.model.RejectedErrorCode.VERSION_MISMATCH:
      return { kind: 'refused', error }
    default:
      throw error
  }
}

export function toAgentError(operation: string, error: unknown): unknown {
  if (!(error instanceof mqtt_request_response.ServiceError)) return error
  const answer = error.modeledError as iotjobs.model.V2ErrorResponse | undefined // typed any there
  if (answer !== undefined) return new JobsServiceError(operation, answer)
  return new AgentError(`${operation} got no answer`, { retryable: true, cause: error.internalError ?? error })
}
