import type { z } from 'zod'

import type { Jobs } from './jobs.ts'
import { isTerminal } from './job-execution.ts'
import { describe, stateOf, summarize } from './job-messages.ts'
import { findExecution, pendingExecutions } from './job-queue.ts'
import {
  checkRequest,
  describeRequest,
  getRequest,
  jobIdPattern,
  JobsRejection,
  startNextRequest,
  updateRequest,
  type JobsTopic,
} from './jobs-requests.ts'

type Answer = Readonly<Record<string, unknown>>

export interface JobsServiceOptions {
  readonly jobs: Jobs
  readonly now: () => number
  readonly thingExists: (thingName: string) => boolean
}

/**
 * Answers a request of a device ("Jobs device MQTT API operations"), without time and token. Throws a JobsRejection.
 */
export function answerJobsRequest(topic: JobsTopic, json: unknown, options: JobsServiceOptions): Answer {
  const { thingName, action } = topic
  options.jobs.tick()
  if (!options.thingExists(thingName)) throw new JobsRejection('ResourceNotFound', `There is no thing ${thingName}`)
  switch (action) {
    case 'GetPendingJobExecutions':
      checkRequest(getRequest, json)
      return getPending(thingName, options)
    case 'StartNextPendingJobExecution':
      return startNext(thingName, checkRequest(startNextRequest, json), options)
    case 'DescribeJobExecution':
      return describeOne(topic, checkRequest(describeRequest, json), options)
    case 'UpdateJobExecution':
      return update(topic, checkRequest(updateRequest, json), options)
  }
}

function getPending(thingName: string, { jobs }: JobsServiceOptions): Answer {
  const pending = pendingExecutions(jobs.seenExecutions(thingName))
  return {
    inProgressJobs: pending.filter(({ status }) => status === 'IN_PROGRESS').map(summarize),
    queuedJobs: pending.filter(({ status }) => status === 'QUEUED').map(summarize),
  }
}

function startNext(
  thingName: string,
  request: z.output<typeof startNextRequest>,
  { jobs, now }: JobsServiceOptions,
): Answer {
  const started = jobs.startNext(thingName, request)
  if (started === undefined) return {}
  return { execution: describe(started, now(), { value: jobs.documentOf(started.jobId) }) }
}

function describeOne(
  { thingName, jobId }: JobsTopic,
  { executionNumber, includeJobDocument }: z.output<typeof describeRequest>,
  { jobs, now }: JobsServiceOptions,
): Answer {
  const executions = jobs.seenExecutions(thingName)
  const [next] = pendingExecutions(executions)
  if (jobId === '$next' && next === undefined) return {}
  const execution = jobId === '$next' ? next : findExecution(executions, checkJobId(jobId), executionNumber)
  if (execution === undefined) throw notFound(jobId)
  if (isTerminal(execution)) throw new JobsRejection('TerminalStateReached', `${jobId} is ${execution.status}`)
  const document = { value: jobs.documentOf(execution.jobId) }
  return { execution: includeJobDocument ? describe(execution, now(), document) : describe(execution, now()) }
}

function update(
  { thingName, jobId }: JobsTopic,
  request: z.output<typeof updateRequest>,
  { jobs }: JobsServiceOptions,
): Answer {
  const execution = findExecution(jobs.executions(thingName), checkJobId(jobId), request.executionNumber)
  if (execution === undefined) throw notFound(jobId)
  const document = jobs.documentOf(jobId)
  const transition = jobs.update(execution, request)
  if (transition.kind === 'refused') {
    throw new JobsRejection(transition.code, transition.message, stateOf(execution))
  }
  return {
    ...(request.includeJobExecutionState ? { executionState: stateOf(transition.execution) } : {}),
    ...(request.includeJobDocument ? { jobDocument: document } : {}),
  }
}

function checkJobId(jobId: string): string {
  if (!jobIdPattern.test(jobId)) throw new JobsRejection('InvalidRequest', `"${jobId}" is no id for a job`)
  return jobId
}

function notFound(jobId: string): JobsRejection {
  return new JobsRejection('ResourceNotFound', `There is no execution of ${jobId}`)
}
