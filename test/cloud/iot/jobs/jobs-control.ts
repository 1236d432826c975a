import type { JobExecution } from './job-execution.ts'

/** What the control plane refuses, by the name that its API gives the exception. */
export class JobsControlError extends Error {
  override readonly name = 'JobsControlError'
  readonly code: string

  constructor(code: string, message: string) {
    super(`${code}: ${message}`)
    this.code = code
  }
}

export type FailureType = 'FAILED' | 'TIMED_OUT' | 'ALL'

/** JobExecutionsRetryConfig: how often a failure of a kind is tried again. */
export interface RetryCriterion {
  readonly failureType: FailureType
  /** 0 to 10. */
  readonly numberOfRetries: number
}

export interface CreateJob {
  readonly jobId: string
  /** Things, by name or ARN. */
  readonly targets: readonly string[]
  /** JSON: as text, or what becomes it. At most 32,768 characters. */
  readonly document: unknown
  /** 1 to 10080. */
  readonly inProgressTimeoutInMinutes?: number
  readonly retries?: readonly RetryCriterion[]
}

export interface Job {
  readonly jobId: string
  readonly targets: readonly string[]
  readonly document: unknown
  readonly inProgressTimeoutInMinutes: number | undefined
  readonly retries: readonly RetryCriterion[]
  readonly status: 'IN_PROGRESS' | 'CANCELED' | 'COMPLETED'
}

const maxDocumentCharacters = 32_768
const maxTimeoutMinutes = 10_080
const maxRetries = 10

/** Checks as CreateJob does. Throws a JobsControlError. */
export function checkJob(options: CreateJob): Job {
  const { jobId, inProgressTimeoutInMinutes: timeout, retries = [] } = options
  if (!/^[a-zA-Z0-9_-]{1,64}$/.test(jobId)) throw invalid(`"${jobId}" is no id for a job`)
  if (options.targets.length === 0) throw invalid('a job needs a target')
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout >= 1 && timeout <= maxTimeoutMinutes)) {
    throw invalid(`inProgressTimeoutInMinutes must be 1 to ${maxTimeoutMinutes}`)
  }
  const total = retries.reduce((sum, { numberOfRetries }) => sum + numberOfRetries, 0)
  if (total > maxRetries) throw invalid(`at most ${maxRetries} retries`)
  return {
    jobId,
    targets: [...new Set(options.targets.map((target) => target.replace(/^arn:.*:thing\//, '')))],
    document: checkDocument(options.document),
    inProgressTimeoutInMinutes: timeout,
    retries,
    status: 'IN_PROGRESS',
  }
}

/** Whether an execution that ended so is tried once more, `ended` being all that ended so far, this one included. */
export function retriesLeft(job: Job, ended: readonly JobExecution[]): boolean {
  const last = ended.at(-1)?.status
  if (job.status === 'CANCELED' || (last !== 'FAILED' && last !== 'TIMED_OUT')) return false
  return job.retries.some(({ failureType, numberOfRetries }) => {
    if (failureType !== 'ALL' && failureType !== last) return false
    const counted = ended.filter(({ status }) => failureType === 'ALL' || status === failureType)
    return counted.length <= numberOfRetries
  })
}

function checkDocument(document: unknown): unknown {
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  if (text.length > maxDocumentCharacters) {
    throw new JobsControlError('LimitExceededException', `a document has at most ${maxDocumentCharacters} characters`)
  }
  try {
    const json: unknown = JSON.parse(text)
    return json
  } catch {
    throw invalid('the document is no JSON')
  }
}

function invalid(message: string): JobsControlError {
  return new JobsControlError('InvalidRequestException', message)
}
