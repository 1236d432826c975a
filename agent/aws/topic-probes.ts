import { mqtt5 } from 'aws-iot-device-sdk-v2'

import type { TopicTrial } from '../doctor/topic-check.ts'
import { untilAborted } from '../lib/abort.ts'
import { reportError } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import { jobsAndShadow, rotationBy, type TopicPlan } from './topic-plans.ts'

const answerWithinMs = 4_000
const lookEveryMs = 20
const firstFailureCode = 128

interface Connected {
  readonly client: mqtt5.Mqtt5Client
  readonly thingName: string
  /** The template of the rotation, where there is one. */
  readonly rotation: string | undefined
}

/**
 * Tries over a connection of the thing's own all that jobs and shadow need, then what a rotation needs. That AWS IoT closes
 * the connection in the place of an answer counts as a refusal of what was asked for; nothing after that is tried. Rejects
 * with the signal's reason alone.
 */
export async function tryTopics(
  { client, thingName, rotation }: Connected,
  signal: AbortSignal,
): Promise<readonly TopicTrial[]> {
  const trials: TopicTrial[] = []
  let isOpen = true
  for (const plan of [jobsAndShadow(thingName), ...(rotation === undefined ? [] : [rotationBy(rotation)])]) {
    const tried = await tryPlan(plan, { client, isOpen }, signal)
    trials.push(...tried.trials)
    isOpen = tried.isOpen
  }
  return trials
}

interface Tried {
  readonly trials: readonly TopicTrial[]
  /** Whether the connection outlived it. */
  readonly isOpen: boolean
}

interface Probed {
  readonly client: mqtt5.Mqtt5Client
  readonly isOpen: boolean
}

async function tryPlan(plan: TopicPlan, { client, isOpen }: Probed, signal: AbortSignal): Promise<Tried> {
  const { need, filters, requests, refusals } = plan
  const heard = new Map<string, string | undefined>()
  const onMessage = ({ message: { topicName, payload } }: mqtt5.MessageReceivedEvent): void => {
    heard.set(topicName, refusalIn(payload, refusals))
  }
  client.on('messageReceived', onMessage)
  try {
    const subscribed = await inTurn('Subscribe', { client, need, topics: filters, isOpen }, signal)
    const published = await inTurn('Publish', { client, need, topics: requests, isOpen: subscribed.isOpen }, signal)
    const asked = published.trials.filter(({ result }) => result === 'allowed').map(({ topic }) => topic)
    const answerable = asked.filter((topic) => isHeard(topic, subscribed.trials))
    if (published.isOpen) await untilAnswered({ heard, answerable }, signal)
    const publishing = published.trials.map((trial) => {
      const why = heard.get(`${trial.topic}/rejected`)
      return why === undefined ? trial : ({ ...trial, result: 'refused', why } as const)
    })
    const isKnown = (topic: string): boolean => published.isOpen && answerable.includes(topic)
    const receiving = requests.map((topic) => ({ need, ...received(topic, { heard, isKnown }) }))
    return { trials: [...subscribed.trials, ...publishing, ...receiving], isOpen: published.isOpen }
  } finally {
    client.removeListener('messageReceived', onMessage)
  }
}

interface InTurn extends Probed {
  readonly need: TopicTrial['need']
  readonly topics: readonly string[]
}

/** One after the other: a connection that ends does not say over what. */
async function inTurn(action: 'Subscribe' | 'Publish', options: InTurn, signal: AbortSignal): Promise<Tried> {
  const trials: TopicTrial[] = []
  let { isOpen } = options
  for (const topic of options.topics) {
    const trial = { need: options.need, action, topic }
    if (!isOpen) {
      trials.push({ ...trial, result: 'unknown' })
      continue
    }
    try {
      const code = await untilAborted(ask(action, topic, options.client), signal)
      const isRefused = code >= firstFailureCode
      trials.push({ ...trial, ...(isRefused ? refused(`reason code ${code}`) : { result: 'allowed' }) })
    } catch (error) {
      signal.throwIfAborted()
      isOpen = false
      trials.push({ ...trial, ...refused(`the connection ended: ${reportError(error).message}`) })
    }
  }
  return { trials, isOpen }
}

/** The reason code of the answer; without one, that of success. */
async function ask(action: 'Subscribe' | 'Publish', topic: string, client: mqtt5.Mqtt5Client): Promise<number> {
  const qos = mqtt5.QoS.AtLeastOnce
  if (action === 'Publish') return (await client.publish({ topicName: topic, qos, payload: '{}' }))?.reasonCode ?? 0
  const { reasonCodes } = await client.subscribe({ subscriptions: [{ topicFilter: topic, qos }] })
  return reasonCodes[0] ?? 0
}

function refused(why: string): Pick<TopicTrial, 'result' | 'why'> {
  return { result: 'refused', why }
}

function isHeard(topic: string, subscribed: readonly TopicTrial[]): boolean {
  const own = subscribed.filter((trial) => trial.topic.startsWith(`${topic}/`))
  return own.every(({ result }) => result === 'allowed')
}

interface Answers {
  /** By topic, with what the answer gives as the want of a permission. */
  readonly heard: ReadonlyMap<string, string | undefined>
  readonly answerable: readonly string[]
}

async function untilAnswered({ heard, answerable }: Answers, signal: AbortSignal): Promise<void> {
  const untilMs = monotonicMs() + answerWithinMs
  while (!answerable.every((topic) => hasAnswer(topic, heard)) && monotonicMs() < untilMs) {
    await sleep(lookEveryMs, signal)
  }
}

function hasAnswer(topic: string, heard: Answers['heard']): boolean {
  return heard.has(`${topic}/accepted`) || heard.has(`${topic}/rejected`)
}

/** AWS IoT drops a message that may not be received, and says nothing. */
function received(
  topic: string,
  { heard, isKnown }: Pick<Answers, 'heard'> & { readonly isKnown: (topic: string) => boolean },
): Omit<TopicTrial, 'need'> {
  const asked = { action: 'Receive', topic: `${topic}/accepted` } as const
  if (hasAnswer(topic, heard)) return { ...asked, result: 'allowed' }
  return isKnown(topic) ? { ...asked, ...refused('no answer came') } : { ...asked, result: 'unknown' }
}

/** Of a rejection that counts, its code; of every other answer nothing. */
function refusalIn(payload: mqtt5.Payload | undefined, refusals: RegExp): string | undefined {
  const bytes = bytesOf(payload)
  if (bytes === undefined) return undefined
  const [, code = ''] = /"(?:code|errorCode)":\s*"?(\w+)/.exec(new TextDecoder().decode(bytes)) ?? []
  return refusals.test(code) ? `the answer is ${code}` : undefined
}

function bytesOf(payload: mqtt5.Payload | undefined): Uint8Array | undefined {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload)
  if (!ArrayBuffer.isView(payload)) return undefined
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength)
}
