import { generate } from 'mqtt-packet'

import { writtenAs, type GateSession } from './gate-session.ts'
import type { IotPrincipal } from './iot-policy.ts'
import { mayReceive } from './packet-decisions.ts'

/** Who asks: a connection is known by both. */
export interface DirectCaller {
  readonly clientId: string
  readonly certificateId: string
}

export interface DirectRequest {
  readonly topic: string
  readonly payload: Buffer
  readonly caller: DirectCaller
}

export interface DirectAnswer {
  readonly topic: string
  readonly body: unknown
}

/**
 * A service on topics that name no thing, so that its answers must not reach whoever else subscribed: requests do not
 * go to the broker, and the answer goes to the connection that asked.
 */
export interface DirectService {
  readonly isRequest: (topic: string) => boolean
  /** Undefined where nothing is answered. Rejects for a defect of the cloud itself only. */
  readonly answer: (request: DirectRequest) => Promise<DirectAnswer | undefined>
}

/** The PUBLISH that carries an answer; undefined where the client did not subscribe to it, or may not receive it. */
export function answerBytes(
  session: GateSession,
  { topic, body }: DirectAnswer,
  principal: IotPrincipal,
): Buffer | undefined {
  const subscribed = [...session.filters].some((filter) => matchesFilter(topic, filter))
  if (!subscribed || !mayReceive(topic, principal)) return undefined
  const payload = JSON.stringify(body)
  return generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }, writtenAs(session))
}

/** Whether a filter matches a topic (MQTT 5, section 4.7); wildcards do not reach topics below `$` at the first level. */
export function matchesFilter(topic: string, filter: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false
  const levels = topic.split('/')
  const parts = filter.split('/')
  for (const [index, part] of parts.entries()) {
    if (part === '#') return true
    if (index >= levels.length || (part !== '+' && part !== levels[index])) return false
  }
  return levels.length === parts.length
}
