import { fail, pass, skip, type Check, type Outcome } from './doctor-check.ts'
import type { RunningAgent } from './service-check.ts'
import { rotationOutcome, topicOutcomes, topicsOfAgent, type Rotating, type TopicTrial } from './topic-check.ts'

export interface MqttDeps {
  readonly agent: (signal: AbortSignal) => Promise<RunningAgent>
  /** Connects as the thing, tries what jobs, shadow and, where there is one, the rotation need, and disconnects. Throws what keeps it from connecting, with a hint. */
  readonly tryTopics: (signal: AbortSignal) => Promise<readonly TopicTrial[]>
  readonly endpoint: string
  readonly thingName: string
  /** Undefined: there is none. */
  readonly rotation: Rotating | undefined
}

/**
 * AWS IoT ends the connection of a client whose id another one takes, and the policy allows no other id than the thing name: so
 * where an agent runs, or may run, it is asked and not disturbed.
 */
export function mqttCheck({ agent, tryTopics, endpoint, thingName, rotation }: MqttDeps): Check {
  return {
    id: 'mqtt',
    name: 'MQTT',
    withinMs: 40_000,
    needs: ['identity', 'identity.dates', 'tls.mqtt'],
    run: async (signal) => {
      const running = await agent(signal)
      if (running.kind === 'answers') return [ofAgent(running.connection), ...topicsOfAgent(running)]
      if (running.kind === 'unknown')
        return [
          skip(
            `not tried, because it would end the connection of an agent that may run: ${running.text}`,
            running.hint,
          ),
        ]
      const trials = await tryTopics(signal)
      return [
        pass(`${endpoint} takes ${thingName} as a client`),
        ...topicOutcomes(trials, thingName),
        ...(rotation === undefined ? [] : [rotationOutcome(trials, rotation)]),
      ]
    },
  }
}

function ofAgent(connection: Extract<RunningAgent, { kind: 'answers' }>['connection']): Outcome {
  if (connection === undefined)
    return skip(
      'the running agent has a configuration without endpoints.mqtt',
      'reload it: systemctl reload panorama-agent',
    )
  const { state, message, hint } = connection
  if (state === 'connected') return pass('the running agent is connected')
  const why = message === undefined ? '' : `: ${message}`
  return state === 'down'
    ? fail(`the running agent has no connection${why}`, hint)
    : skip(`the running agent is ${state}${why}`)
}
