import type { TopicAnswer, TopicRefusal, TopicService } from '../topic-service.ts'
import { seconds } from './job-messages.ts'
import { clientTokenOf, JobsRejection, jobsFilters, parseJobsJson, parseJobsTopic } from './jobs-requests.ts'
import { answerJobsRequest, type JobsServiceOptions } from './jobs-service.ts'

/** AWS IoT Jobs on its reserved topics. In records, faults and quotas it is `iot-jobs`. */
export function createJobsTopics(options: JobsServiceOptions): TopicService {
  const { jobs, now } = options
  return {
    name: 'iot-jobs',
    filters: jobsFilters,
    requestOf: parseJobsTopic,
    answer: (topic, payload) => answer(topic, payload, options),
    refuse: (payload, refusal) => refused(refusal, { nowMs: now(), json: readable(payload) }),
    tick: () => {
      jobs.tick()
    },
  }
}

interface Asked {
  readonly nowMs: number
  readonly json: unknown
}

const statuses: ReadonlyMap<string, number> = new Map([
  ['ResourceNotFound', 404],
  ['VersionMismatch', 409],
  ['InvalidStateTransition', 409],
  ['TerminalStateReached', 409],
])

function answer(topic: string, payload: Buffer, options: JobsServiceOptions): TopicAnswer {
  const asked = { nowMs: options.now(), json: readable(payload) }
  const parsed = parseJobsTopic(topic)
  try {
    if (parsed === undefined) throw new JobsRejection('InvalidTopic', topic)
    const body = answerJobsRequest(parsed, parseJobsJson(payload), options)
    return { accepted: true, status: 200, body: { ...body, ...stamp(asked) } }
  } catch (error) {
    if (!(error instanceof JobsRejection)) throw error
    const { code, message, executionState } = error
    return refused({ status: statuses.get(code) ?? 400, code, message }, asked, executionState)
  }
}

function refused({ status, code, message }: TopicRefusal, asked: Asked, executionState?: unknown): TopicAnswer {
  const state = executionState === undefined ? {} : { executionState }
  return { accepted: false, status, body: { code, message, ...state, ...stamp(asked) } }
}

function stamp({ nowMs, json }: Asked): Readonly<Record<string, unknown>> {
  const clientToken = clientTokenOf(json)
  return { timestamp: seconds(nowMs), ...(clientToken === undefined ? {} : { clientToken }) }
}

/** The JSON as far as there is any, for the token. */
function readable(payload: Buffer): unknown {
  try {
    return parseJobsJson(payload)
  } catch {
    return undefined
  }
}
