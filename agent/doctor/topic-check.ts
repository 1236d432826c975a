import { fail, pass, skip, type Outcome } from './doctor-check.ts'
import type { RunningAgent } from './service-check.ts'

export type TopicAction = 'Subscribe' | 'Publish' | 'Receive'

/** What became of one thing that jobs and shadow need to do. */
export interface TopicTrial {
  readonly action: TopicAction
  /** Or the filter, below `$aws/things/<thing name>/`. */
  readonly topic: string
  /** `unknown`: it was not come to, or what it takes was refused. */
  readonly result: 'allowed' | 'refused' | 'unknown'
  /** Why it was refused, as AWS IoT told it. */
  readonly why?: string
}

/** Told for each action by itself, because a policy has a statement for each. */
export function topicOutcomes(trials: readonly TopicTrial[], thingName: string): readonly Outcome[] {
  return actions.map(({ action, resource }) => {
    const ofAction = trials.filter((trial) => trial.action === action)
    return { ...actionOutcome(ofAction, { action, resource, thingName }), about: action.toLowerCase() }
  })
}

/** Of the agent that owns the connection: it does the same all the time, and says when it may not. */
export function topicsOfAgent(agent: Extract<RunningAgent, { kind: 'answers' }>): readonly Outcome[] {
  if (agent.connection?.state !== 'connected') return []
  const { message, hint } = agent.faults.find(({ name, isGrave = false }) => name === 'jobs' && !isGrave) ?? {}
  if (message === undefined) return []
  return [{ ...fail(`the running agent cannot ask for jobs: ${message}`, hint ?? defaultHint), about: 'jobs' }]
}

const policyFile = 'config/cloud/iot-device-policy.json'
const defaultHint = `allow iot:Publish, iot:Subscribe and iot:Receive as ${policyFile} does`

const actions = [
  { action: 'Subscribe', resource: 'topicfilter' },
  { action: 'Publish', resource: 'topic' },
  { action: 'Receive', resource: 'topic' },
] as const

interface OfAction {
  readonly action: TopicAction
  readonly resource: string
  readonly thingName: string
}

function actionOutcome(trials: readonly TopicTrial[], { action, resource, thingName }: OfAction): Outcome {
  const of = (result: TopicTrial['result']): readonly TopicTrial[] => trials.filter((trial) => trial.result === result)
  const [refused, unknown] = [of('refused'), of('unknown')]
  const root = `$aws/things/${thingName}/`
  const named = (some: readonly TopicTrial[]): string => some.map(({ topic }) => topic).join(', ')
  if (refused.length > 0) {
    const whys = [...new Set(refused.flatMap(({ why }) => why ?? []))].join('; ')
    return fail(
      `iot:${action} is refused (${whys}) below ${root}, on ${named(refused)}`,
      `allow iot:${action} on ${resource}/${root}${refused[0]?.topic ?? ''} and the like in the IoT policy of the certificate, as ${policyFile} does`,
    )
  }
  if (unknown.length > 0) return skip(`whether iot:${action} is allowed was not learnt of ${named(unknown)}`)
  return pass(`iot:${action} is allowed on all that jobs and shadow need`)
}
