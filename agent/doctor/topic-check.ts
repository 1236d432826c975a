import { fail, pass, skip, warn, type Outcome } from './doctor-check.ts'
import type { RunningAgent } from './service-check.ts'

export type TopicAction = 'Subscribe' | 'Publish' | 'Receive'

/** What became of one thing that jobs and shadow, or a rotation of the certificate, need to do. */
export interface TopicTrial {
  readonly need: 'jobs and shadow' | 'rotation'
  readonly action: TopicAction
  /** Or the filter. */
  readonly topic: string
  /** `unknown`: it was not come to, or what it takes was refused. */
  readonly result: 'allowed' | 'refused' | 'unknown'
  /** Why it was refused, as AWS IoT told it. */
  readonly why?: string
}

/** Told for each action by itself, because a policy has a statement for each. */
export function topicOutcomes(trials: readonly TopicTrial[], thingName: string): readonly Outcome[] {
  return actions.map(({ action, resource }) => {
    const ofAction = trials.filter((trial) => trial.need === 'jobs and shadow' && trial.action === action)
    return { ...actionOutcome(ofAction, { action, resource, thingName }), about: action.toLowerCase() }
  })
}

export interface Rotating {
  readonly template: string
  /** Whether the agent rotates by itself; else a job may ask for it. */
  readonly isDue: boolean
}

/** A rotation has a policy and a template of its own; one that only a job asks for is no failure before. */
export function rotationOutcome(trials: readonly TopicTrial[], { template, isDue }: Rotating): Outcome {
  const ofRotation = trials.filter(({ need }) => need === 'rotation')
  const refused = ofRotation.filter(({ result }) => result === 'refused')
  const unknown = ofRotation.filter(({ result }) => result === 'unknown')
  const isTried = ofRotation.length > 0 && unknown.length === 0
  const isTemplateMissing = refused.some(({ why }) => why === templateMissing)
  const about = 'rotation'
  if (refused.length > 0) {
    const { text, hint } = isTemplateMissing ? missingTemplate(template) : refusedRotation(refused)
    return { ...(isDue ? fail : warn)(`the certificate cannot be rotated: ${text}`, hint), about }
  }
  if (!isTried) {
    return { ...skip(`whether the certificate may be rotated was not learnt of ${requestsOf(unknown)}`), about }
  }
  return { ...pass(`the certificate may be rotated, by the template ${template}`), about }
}

interface Told {
  readonly text: string
  readonly hint: string
}

function missingTemplate(template: string): Told {
  const hint = 'create it, or mend provisioning.rotationTemplate: see config/cloud/provisioning'
  return { text: `there is no template ${template}`, hint }
}

function refusedRotation(refused: readonly TopicTrial[]): Told {
  const named = [...new Set(refused.map(({ action }) => `iot:${action}`))].join(', ')
  const whys = [...new Set(refused.flatMap(({ why }) => why ?? []))].join('; ')
  return {
    text: `${named} refused (${whys}) for ${requestsOf(refused)}`,
    hint: 'attach a policy like config/cloud/provisioning/iot-rotation-policy.json to the certificate, beside the one that it has',
  }
}

/** The topics of requests, without those of their answers. */
function requestsOf(trials: readonly TopicTrial[]): string {
  return [...new Set(trials.map(({ topic }) => topic.replace(/\/(accepted|rejected)$/, '')))].join(', ')
}

/** Of the agent that owns the connection: it does the same all the time, and says when it may not. */
export function topicsOfAgent(agent: Extract<RunningAgent, { kind: 'answers' }>): readonly Outcome[] {
  if (agent.connection?.state !== 'connected') return []
  const { message, hint } = agent.faults.find(({ name, isGrave = false }) => name === 'jobs' && !isGrave) ?? {}
  if (message === undefined) return []
  return [{ ...fail(`the running agent cannot ask for jobs: ${message}`, hint ?? defaultHint), about: 'jobs' }]
}

/** Why it is refused, where the template is not there. */
const templateMissing = 'the answer is ResourceNotFoundException'
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
  const below = ({ topic }: TopicTrial): string => topic.slice(root.length)
  const named = (some: readonly TopicTrial[]): string => some.map(below).join(', ')
  const [first] = refused
  if (first !== undefined) {
    const whys = [...new Set(refused.flatMap(({ why }) => why ?? []))].join('; ')
    return fail(
      `iot:${action} is refused (${whys}) below ${root}, on ${named(refused)}`,
      `allow iot:${action} on ${resource}/${first.topic} and the like in the IoT policy of the certificate, as ${policyFile} does`,
    )
  }
  if (unknown.length > 0) return skip(`whether iot:${action} is allowed was not learnt of ${named(unknown)}`)
  return pass(`iot:${action} is allowed on all that jobs and shadow need`)
}
