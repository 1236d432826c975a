import { mqtt5 } from 'aws-iot-device-sdk-v2'

import type { TopicTrial } from '../doctor/topic-check.ts'
import { untilAborted } from '../lib/abort.ts'
import { reportError } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'

/** As the clients of the device SDK, and the agent itself, subscribe. */
const filters = [
  'jobs/notify-next',
  'jobs/get/+',
  'jobs/$next/get/+',
  'jobs/panorama-agent-doctor/update/+',
  'shadow/name/panorama-agent/get/+',
  'shadow/name/panorama-agent/update/accepted',
  'shadow/name/panorama-agent/update/rejected',
  'shadow/name/panorama-agent/delete/accepted',
]

/**
 * An update without a state, or a status, is refused as such ("Device Shadow error messages", "Jobs device MQTT API
 * operations"), and of that job there is no execution: nothing changes.
 */
const requests = [
  'jobs/get',
  'jobs/$next/get',
  'jobs/panorama-agent-doctor/update',
  'shadow/name/panorama-agent/get',
  'shadow/name/panorama-agent/update',
]

const answerWithinMs = 4_000
const lookEveryMs = 20
const firstFailureCode = 128
const refusals = /^(401|403|Unauthorized|Forbidden|AccessDenied)/i

interface Probed {
  readonly client: mqtt5.Mqtt5Client
  readonly root: string
}

/**
 * Tries over a connection of the thing's own all that jobs and shadow need. That AWS IoT closes the connection in the
 * place of an answer counts as a refusal of what was asked for; nothing after that is tried. Rejects with the signal's reason alone.
 */
export async function tryTopics(
  { client, thingName }: { readonly client: mqtt5.Mqtt5Client; readonly thingName: string },
  signal: AbortSignal,
): Promise<readonly TopicTrial[]> {
  const root = `$aws/things/${thingName}/`
  const heard = new Map<string, string | undefined>()
  const onMessage = ({ message: { topicName, payload } }: mqtt5.MessageReceivedEvent): void => {
    heard.set(topicName.slice(root.length), refusalIn(payload))
  }
  client.on('messageReceived', onMessage)
  try {
    const subscribed = await inTurn('Subscribe', { client, root, topics: filters, isOpen: true }, signal)
    const published = await inTurn('Publish', { client, root, topics: requests, isOpen: subscribed.isOpen }, signal)
    const asked = published.trials.filter(({ result }) => result === 'allowed').map(({ topic }) => topic)
    const answerable = asked.filter((topic) => isHeard(topic, subscribed.trials))
    if (published.isOpen) await untilAnswered({ heard, answerable }, signal)
    const publishing = published.trials.map((trial) => {
      const why = heard.get(`${trial.topic}/rejected`)
      return why === undefined ? trial : ({ ...trial, result: 'refused', why } as const)
    })
    const isKnown = (topic: string): boolean => published.isOpen && answerable.includes(topic)
    return [...subscribed.trials, ...publishing, ...requests.map((topic) => received(topic, { heard, isKnown }))]
  } finally {
    client.removeListener('messageReceived', onMessage)
  }
}

interface InTurn extends Probed {
  readonly topics: readonly string[]
  readonly isOpen: boolean
}

interface Tried {
  readonly trials: readonly TopicTrial[]
  /** Whether the connection outlived it. */
  readonly isOpen: boolean
}

/** One after the other: a connection that ends does not say over what. */
async function inTurn(action: 'Subscribe' | 'Publish', options: InTurn, signal: AbortSignal): Promise<Tried> {
  const trials: TopicTrial[] = []
  let { isOpen } = options
  for (const topic of options.topics) {
    if (!isOpen) {
      trials.push({ action, topic, result: 'unknown' })
      continue
    }
    try {
      const code = await untilAborted(ask(action, `${options.root}${topic}`, options.client), signal)
      const isRefused = code >= firstFailureCode
      trials.push({ action, topic, ...(isRefused ? refused(`reason code ${code}`) : { result: 'allowed' }) })
    } catch (error) {
      signal.throwIfAborted()
      isOpen = false
      trials.push({ action, topic, ...refused(`the connection ended: ${reportError(error).message}`) })
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
): TopicTrial {
  const asked = { action: 'Receive', topic: `${topic}/accepted` } as const
  if (hasAnswer(topic, heard)) return { ...asked, result: 'allowed' }
  return isKnown(topic) ? { ...asked, ...refused('no answer came') } : { ...asked, result: 'unknown' }
}

/** Of a rejection for want of a permission, its code; of every other answer nothing. */
function refusalIn(payload: mqtt5.Payload | undefined): string | undefined {
  const bytes = bytesOf(payload)
  if (bytes === undefined) return undefined
  const [, code = ''] = /"code":\s*"?(\w+)/.exec(new TextDecoder().decode(bytes)) ?? []
  return refusals.test(code) ? `the answer is ${code}` : undefined
}

function bytesOf(payload: mqtt5.Payload | undefined): Uint8Array | undefined {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload)
  if (!ArrayBuffer.isView(payload)) return undefined
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength)
}
