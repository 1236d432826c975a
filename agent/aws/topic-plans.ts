import type { TopicTrial } from '../doctor/topic-check.ts'

/** What one need asks of the IoT policy: topics in full. */
export interface TopicPlan {
  readonly need: TopicTrial['need']
  /** As the clients of the device SDK, and the agent itself, subscribe. */
  readonly filters: readonly string[]
  /** Each gets an answer, and changes nothing. */
  readonly requests: readonly string[]
  /** Codes of answers that tell that it would not be let do it. */
  readonly refusals: RegExp
}

/**
 * An update without a state, or a status, is refused as such ("Device Shadow error messages", "Jobs device MQTT API
 * operations"), and of that job there is no execution: nothing changes.
 */
export function jobsAndShadow(thingName: string): TopicPlan {
  const below = (topics: readonly string[]): readonly string[] =>
    topics.map((topic) => `$aws/things/${thingName}/${topic}`)
  return {
    need: 'jobs and shadow',
    filters: below([
      'jobs/notify-next',
      'jobs/get/+',
      'jobs/$next/get/+',
      'jobs/panorama-agent-doctor/update/+',
      'shadow/name/panorama-agent/get/+',
      'shadow/name/panorama-agent/update/accepted',
      'shadow/name/panorama-agent/update/rejected',
      'shadow/name/panorama-agent/delete/accepted',
    ]),
    requests: below([
      'jobs/get',
      'jobs/$next/get',
      'jobs/panorama-agent-doctor/update',
      'shadow/name/panorama-agent/get',
      'shadow/name/panorama-agent/update',
    ]),
    refusals: /^(401|403|Unauthorized|Forbidden|AccessDenied)/i,
  }
}

/** Without a signing request no certificate is made, and without a token no thing is registered ("Device provisioning MQTT API"). */
export function rotationBy(template: string): TopicPlan {
  const requests = ['$aws/certificates/create-from-csr/json', `$aws/provisioning-templates/${template}/provision/json`]
  return {
    need: 'rotation',
    filters: requests.flatMap((topic) => [`${topic}/accepted`, `${topic}/rejected`]),
    requests,
    refusals: /^(401|403|Unauthorized|Forbidden|AccessDenied|ResourceNotFound)/i,
  }
}
