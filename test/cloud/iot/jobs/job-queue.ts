import { isTerminal, type JobExecution } from './job-execution.ts'

/** What is left to do on a thing, in the order in which it is handed out: what is in progress, then by creation. */
export function pendingExecutions(executions: readonly JobExecution[]): readonly JobExecution[] {
  const pending = executions.filter((execution) => !isTerminal(execution))
  const inProgress = pending.filter(({ status }) => status === 'IN_PROGRESS')
  return [...inProgress, ...pending.filter(({ status }) => status === 'QUEUED')]
}

/** The execution of a job with this number, or the latest. */
export function findExecution(
  executions: readonly JobExecution[],
  jobId: string,
  executionNumber?: number,
): JobExecution | undefined {
  return executions.findLast(
    (execution) =>
      execution.jobId === jobId && (executionNumber ?? execution.executionNumber) === execution.executionNumber,
  )
}

/** Which of the two notifications a change of the executions of a thing makes. */
export interface QueueChange {
  /** One came to the pending ones, or left them. */
  readonly pendingChanged: boolean
  /** Another one is next, or none. Details of the one that is next make no notification. */
  readonly nextChanged: boolean
}

export function compareQueues(before: readonly JobExecution[], after: readonly JobExecution[]): QueueChange {
  const keysBefore = pendingExecutions(before).map(keyOf)
  const keysAfter = pendingExecutions(after).map(keyOf)
  return {
    pendingChanged: keysBefore.toSorted().join() !== keysAfter.toSorted().join(),
    nextChanged: keysBefore[0] !== keysAfter[0],
  }
}

function keyOf({ jobId, executionNumber }: JobExecution): string {
  return `${jobId}#${executionNumber}`
}
