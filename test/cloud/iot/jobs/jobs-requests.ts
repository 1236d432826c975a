import { z } from 'zod'

/** A refusal as it is published to `.../rejected`. */
export class JobsRejection extends Error {
  override readonly name = 'JobsRejection'
  /** InvalidTopic, InvalidJson, InvalidRequest, VersionMismatch and so on. */
  readonly code: string
  /** The JobExecutionState that goes with it. */
  readonly executionState: unknown

  constructor(code: string, message: string, executionState?: unknown) {
    super(message)
    this.code = code
    this.executionState = executionState
  }
}

/** What a client asks for, by the topic. */
export interface JobsTopic {
  readonly thingName: string
  readonly action:
    'GetPendingJobExecutions' | 'StartNextPendingJobExecution' | 'DescribeJobExecution' | 'UpdateJobExecution'
  /** Empty where the topic has none. */
  readonly jobId: string
}

const topicPattern = /^\$aws\/things\/([^/]+)\/jobs\/(?:(get|start-next)|([^/]+)\/(get|update))$/

export const jobsFilters = [
  '$aws/things/+/jobs/get',
  '$aws/things/+/jobs/start-next',
  '$aws/things/+/jobs/+/get',
  '$aws/things/+/jobs/+/update',
]

export function parseJobsTopic(topic: string): JobsTopic | undefined {
  const [, thingName, ofThing, jobId = '', ofJob] = topicPattern.exec(topic) ?? []
  if (thingName === undefined) return undefined
  if (ofThing === 'get') return { thingName, action: 'GetPendingJobExecutions', jobId }
  if (ofThing === 'start-next') return { thingName, action: 'StartNextPendingJobExecution', jobId }
  return { thingName, action: ofJob === 'get' ? 'DescribeJobExecution' : 'UpdateJobExecution', jobId }
}

/** Names of jobs, as the API model has them. */
export const jobIdPattern = /^[a-zA-Z0-9_-]{1,64}$/

// AWS's examples write numbers as text too.
const number = z.union([
  z.int(),
  z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number),
])
const clientToken = z
  .string()
  .regex(/^[a-zA-Z0-9_-]{1,64}$/)
  .optional()
const stepMinutes = z.int().min(1).max(10_080)

// Ten pairs are remembered as a quota, and are not in today's documents: the stricter reading.
const statusDetails = z
  .record(
    z.string().regex(/^[a-zA-Z0-9:_-]{1,128}$/),
    z
      .string()
      .regex(/^[^\p{C}]+$/u)
      .refine((text) => text.length <= 1024),
  )
  .refine((details) => Object.keys(details).length <= 10, 'at most 10 pairs')
  .optional()

export const getRequest = z.object({ clientToken })
export const startNextRequest = z.object({ statusDetails, stepTimeoutInMinutes: stepMinutes.optional(), clientToken })
export const describeRequest = z.object({
  executionNumber: number.optional(),
  includeJobDocument: z.boolean().default(true),
  clientToken,
})
export const updateRequest = z.object({
  status: z.enum(['IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'REJECTED']),
  statusDetails,
  expectedVersion: number.optional(),
  executionNumber: number.optional(),
  includeJobExecutionState: z.boolean().default(false),
  includeJobDocument: z.boolean().default(false),
  stepTimeoutInMinutes: z.union([stepMinutes, z.literal(-1)]).optional(),
  clientToken,
})

/** The JSON of a request. Throws a JobsRejection. */
export function parseJobsJson(payload: Buffer): unknown {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
    return json
  } catch {
    throw new JobsRejection('InvalidJson', 'The contents of the request are not valid UTF-8 encoded JSON')
  }
}

/** Throws a JobsRejection that names each field at fault. */
export function checkRequest<T extends z.ZodType>(schema: T, json: unknown): z.output<T> {
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  throw new JobsRejection('InvalidRequest', z.prettifyError(parsed.error))
}

/** The token to give back, also where the rest of the request is at fault. */
export function clientTokenOf(json: unknown): string | undefined {
  const parsed = z.object({ clientToken: z.string() }).safeParse(json)
  return parsed.success ? parsed.data.clientToken : undefined
}
