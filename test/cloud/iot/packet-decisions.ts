import type { IConnectPacket, IPublishPacket, ISubscription } from 'mqtt-packet'

import { allowsIot, type IotPrincipal } from './iot-policy.ts'
import { isRequestTopic, isReserved, isSubscribableReserved } from './reserved-topics.ts'
import { brokerLimits, isTopicFilter, isTopicName } from './topic-limits.ts'

/** Reason codes of MQTT 5 that the gate gives. */
export const reasonCodes = {
  success: 0x00,
  malformedPacket: 0x81,
  protocolError: 0x82,
  unsupportedProtocolVersion: 0x84,
  clientIdNotValid: 0x85,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  qosNotSupported: 0x9b,
  sharedSubscriptionsNotSupported: 0x9e,
  subscriptionIdentifiersNotSupported: 0xa1,
} as const

/** What becomes of a packet: it passes, it alone is refused, or the connection ends. */
export type Decision =
  | { readonly kind: 'pass' }
  | { readonly kind: 'refuse'; readonly reasonCode: number }
  | { readonly kind: 'disconnect'; readonly reasonCode: number }

const pass: Decision = { kind: 'pass' }

/** Everything about a CONNECT but its rate and the certificate. A will needs what its publish would need. */
export function decideConnect(packet: IConnectPacket, principal: IotPrincipal): Decision {
  const { clientId, will, protocolVersion } = packet
  if (protocolVersion === 3) return { kind: 'refuse', reasonCode: reasonCodes.unsupportedProtocolVersion }
  const bytes = Buffer.byteLength(clientId)
  if (bytes === 0 || bytes > brokerLimits.maxClientIdBytes || clientId.startsWith('$')) {
    return { kind: 'refuse', reasonCode: reasonCodes.clientIdNotValid }
  }
  if (!allowsIot(principal, { action: 'Connect', name: clientId })) {
    return { kind: 'refuse', reasonCode: reasonCodes.notAuthorized }
  }
  if (will === undefined) return pass
  const { topic, payload, qos = 0, retain = false } = will
  const decision = decidePublish({ topic, payload, qos, retain }, principal)
  return decision.kind === 'pass' ? pass : { kind: 'refuse', reasonCode: decision.reasonCode }
}

/**
 * Whether a message may be published. Unsupported topics below `$`, and a message retained on a supported one, end the
 * connection ("Reserved topics").
 */
export function decidePublish(
  { topic, payload, qos, retain }: Pick<IPublishPacket, 'topic' | 'payload' | 'qos' | 'retain'>,
  principal: IotPrincipal,
): Decision {
  if (!isTopicName(topic)) return { kind: 'disconnect', reasonCode: reasonCodes.topicNameInvalid }
  if (qos > 1) return { kind: 'disconnect', reasonCode: reasonCodes.qosNotSupported }
  if (Buffer.byteLength(payload) > brokerLimits.maxPayloadBytes) {
    return { kind: 'disconnect', reasonCode: reasonCodes.packetTooLarge }
  }
  const allowed =
    allowsIot(principal, { action: 'Publish', name: topic }) &&
    (!retain || allowsIot(principal, { action: 'RetainPublish', name: topic }))
  if (!allowed) return { kind: 'refuse', reasonCode: reasonCodes.notAuthorized }
  if (isReserved(topic) && (retain || !isRequestTopic(topic))) {
    return { kind: 'disconnect', reasonCode: reasonCodes.topicNameInvalid }
  }
  return pass
}

/** Whether one filter of a SUBSCRIBE may be subscribed to. */
export function decideSubscription({ topic: filter }: Pick<ISubscription, 'topic'>, principal: IotPrincipal): Decision {
  if (filter.startsWith('$share/')) {
    return { kind: 'refuse', reasonCode: reasonCodes.sharedSubscriptionsNotSupported }
  }
  if (!isTopicFilter(filter)) return { kind: 'disconnect', reasonCode: reasonCodes.topicFilterInvalid }
  if (!allowsIot(principal, { action: 'Subscribe', name: filter })) {
    return { kind: 'refuse', reasonCode: reasonCodes.notAuthorized }
  }
  if (isReserved(filter) && !isSubscribableReserved(filter)) {
    return { kind: 'disconnect', reasonCode: reasonCodes.topicFilterInvalid }
  }
  return pass
}

/** Whether a message reaches a subscriber. Requests to a service go to nobody else, as they do at AWS. */
export function mayReceive(topic: string, principal: IotPrincipal): boolean {
  return !isRequestTopic(topic) && allowsIot(principal, { action: 'Receive', name: topic })
}
