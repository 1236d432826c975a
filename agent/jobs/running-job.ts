import { AgentError, reportError } from '../lib/errors.ts'
import type { JobActions, JobName } from './job-actions.ts'
import type { JobStep } from './job-ledger.ts'

/** A job while it runs. */
export interface RunningJob extends JobName {
  readonly actions: JobActions
  /** Aborts when the job is withdrawn in the cloud, when its time is up, and when the agent stops. */
  readonly signal: AbortSignal
  /** Set when an earlier run of the agent was cut off in the middle: how far it was. */
  readonly resumed: JobStep | undefined
  /** Writes durably how far the job is. Rejects with the signal's reason once that has aborted: then it is not to go on. */
  readonly step: (name: string, data?: JobStep['data']) => Promise<void>
  /** Tells the cloud; what comes of it is nobody's concern. */
  readonly progress: (details: Readonly<Record<string, string | number | undefined>>) => void
}

export interface OperationOutcome {
  readonly status: 'SUCCEEDED' | 'FAILED' | 'REJECTED'
  readonly details: Readonly<Record<string, string | number | undefined>>
}

export function succeeded(details: OperationOutcome['details']): OperationOutcome {
  return { status: 'SUCCEEDED', details }
}

export function failed(reason: string): OperationOutcome {
  return { status: 'FAILED', details: { reason } }
}

/** What an operation that threw is reported as. */
export function failedBy(error: unknown): OperationOutcome {
  const { message, hint } = reportError(error)
  return { status: 'FAILED', details: { reason: message, hint } }
}

/** The job was cancelled, removed, timed out or deleted in the cloud. */
export class WithdrawnError extends AgentError {
  override readonly name = 'WithdrawnError'
}
