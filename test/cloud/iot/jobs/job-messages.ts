import { deadlineOf, type JobExecution } from './job-execution.ts'
import { pendingExecutions } from './job-queue.ts'

type Message = Readonly<Record<string, unknown>>

const maxNotified = 10

/** Finds the document of a job; it is an object over MQTT. */
export type DocumentOf = (jobId: string) => unknown

export function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}

/** A JobExecutionSummary. */
export function summarize(execution: JobExecution): Message {
  const { jobId, queuedAtMs, startedAtMs, lastUpdatedAtMs, versionNumber, executionNumber } = execution
  return {
    jobId,
    queuedAt: seconds(queuedAtMs),
    ...(startedAtMs === undefined ? {} : { startedAt: seconds(startedAtMs) }),
    lastUpdatedAt: seconds(lastUpdatedAtMs),
    versionNumber,
    executionNumber,
  }
}

/** A JobExecution, with its document where `document` is given. */
export function describe(execution: JobExecution, nowMs: number, document?: { readonly value: unknown }): Message {
  const { thingName, status, statusDetails } = execution
  const deadlineMs = deadlineOf(execution)
  return {
    ...summarize(execution),
    thingName,
    status,
    ...(statusDetails === undefined ? {} : { statusDetails }),
    ...(deadlineMs === undefined ? {} : { approximateSecondsBeforeTimedOut: Math.max(0, seconds(deadlineMs - nowMs)) }),
    ...(document === undefined ? {} : { jobDocument: document.value }),
  }
}

/** A JobExecutionState. */
export function stateOf({ status, statusDetails, versionNumber }: JobExecution): Message {
  return { status, statusDetails: statusDetails ?? {}, versionNumber }
}

/** What `notify` says: at most ten that are pending, by status. */
export function notifyMessage(executions: readonly JobExecution[], nowMs: number): Message {
  const shown = pendingExecutions(executions).slice(0, maxNotified)
  const jobs = Object.fromEntries(
    (['IN_PROGRESS', 'QUEUED'] as const).flatMap((status) => {
      const some = shown.filter((execution) => execution.status === status)
      return some.length === 0 ? [] : [[status, some.map(summarize)]]
    }),
  )
  return { timestamp: seconds(nowMs), jobs }
}

/** What `notify-next` says; nothing but the time when nothing is left. */
export function notifyNextMessage(
  executions: readonly JobExecution[],
  { nowMs, documentOf }: { readonly nowMs: number; readonly documentOf: DocumentOf },
): Message {
  const [next] = pendingExecutions(executions)
  const timestamp = seconds(nowMs)
  if (next === undefined) return { timestamp }
  return { timestamp, execution: describe(next, nowMs, { value: documentOf(next.jobId) }) }
}
