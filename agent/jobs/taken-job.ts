import type { JobName } from './job-actions.ts'
import { jobDetails } from './job-details.ts'
import type { ParsedDocument } from './job-document.ts'
import type { JobOutcome, LedgerEntry } from './job-ledger.ts'
import type { JobExecution } from './jobs-service.ts'
import type { OperationOutcome } from './running-job.ts'
import { askingForUpdate } from './update-operation.ts'

/** A job that was handed out, with what is known of it here. */
export interface TakenJob {
  readonly execution: JobExecution
  /** As the ledger had it before. */
  readonly known: LedgerEntry | undefined
  readonly entry: LedgerEntry
  readonly parsed: ParsedDocument
}

/** A job that the agent never gets to the end of is not what it should go on with for ever. */
const maxAttempts = 5

/** Of a job that was not taken before, a new one. */
export function entryOf(execution: JobExecution, known: LedgerEntry | undefined, parsed: ParsedDocument): LedgerEntry {
  if (known !== undefined) return known
  const { jobId, executionNumber, queuedAt } = execution
  const operation = (parsed.kind === 'operation' ? parsed.operation.operation : parsed.named) ?? 'unknown'
  const step = { name: 'begun', data: {} }
  return { jobId, executionNumber, queuedAt, digest: parsed.digest, operation, step, attempts: 0, reported: false }
}

/** The service ended the job itself. */
export const withdrawn: JobOutcome = { status: 'WITHDRAWN', details: {} }

/** What is told of it. */
export function ended({ status, details }: OperationOutcome): JobOutcome {
  return { status, details: jobDetails(details) }
}

/** Of jobs that are not at their end, this is enough to tell them apart. */
export type RunName = Pick<JobName, 'jobId' | 'executionNumber'>

/** Whether what runs, if anything does, is this job, or any where none is named. */
export function isRun(running: JobName | undefined, job: RunName | undefined): boolean {
  if (running === undefined || job === undefined) return running !== undefined
  return running.jobId === job.jobId && running.executionNumber === job.executionNumber
}

/** Why a job is not taken up again, nor begun; undefined when it is. */
export function whyNotAgain({ execution, known, entry, parsed }: TakenJob): string | undefined {
  if (known !== undefined && known.digest !== parsed.digest) return 'its document has changed since it began'
  if (known === undefined && execution.status === 'IN_PROGRESS') {
    return 'it was begun before, and the ledger that says how far it came is gone'
  }
  if (entry.step.name === askingForUpdate) return undefined // root bounds an update, and its outcome is what counts
  return entry.attempts >= maxAttempts ? `it was cut off ${maxAttempts} times by the end of the agent` : undefined
}
