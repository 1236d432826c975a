import type { IConnackPacket, IConnectPacket } from 'mqtt-packet'

import type { MqttVersion } from './mqtt-frames.ts'
import { reasonCodes } from './packet-decisions.ts'
import { brokerLimits } from './topic-limits.ts'

/** The version that a CONNECT speaks. */
export function versionOf({ protocolVersion = 4 }: IConnectPacket): MqttVersion {
  return protocolVersion
}

/** What the broker gets of a CONNECT: what AWS IoT puts in force. The broker looks at no user name. */
export function connectForBroker(packet: IConnectPacket): IConnectPacket {
  const keepalive = keepAliveInForce(packet.keepalive ?? 0)
  if (versionOf(packet) !== 5) return { ...packet, keepalive }
  const requestedExpiry = packet.properties?.sessionExpiryInterval ?? 0
  const sessionExpiryInterval = Math.min(requestedExpiry, brokerLimits.maxSessionExpirySeconds)
  return { ...packet, keepalive, properties: { ...packet.properties, sessionExpiryInterval, topicAliasMaximum: 0 } }
}

/** The broker's CONNACK with what AWS IoT says of itself ("MQTT 5 properties"). */
export function acceptedConnack(connack: IConnackPacket, connect: IConnectPacket): IConnackPacket {
  if (versionOf(connect) !== 5 || connack.reasonCode !== 0) return connack
  const keepAlive = keepAliveInForce(connect.keepalive ?? 0)
  const expiry = connect.properties?.sessionExpiryInterval ?? 0
  const { maxSessionExpirySeconds, maxInFlight, maxPacketBytes, maxTopicAliases } = brokerLimits
  return {
    ...connack,
    properties: {
      ...connack.properties,
      sessionExpiryInterval: Math.min(expiry, maxSessionExpirySeconds),
      receiveMaximum: maxInFlight,
      maximumQoS: 1,
      retainAvailable: true,
      maximumPacketSize: maxPacketBytes,
      topicAliasMaximum: maxTopicAliases,
      wildcardSubscriptionAvailable: true,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      serverKeepAlive: keepAlive,
    },
  }
}

/** A CONNACK that refuses, in the terms of the client's version. */
export function refusedConnack(version: MqttVersion, reasonCode: number): IConnackPacket {
  if (version === 5) return { cmd: 'connack', reasonCode, sessionPresent: false }
  return { cmd: 'connack', returnCode: olderCodes.get(reasonCode) ?? notAuthorized, sessionPresent: false }
}

const notAuthorized = 5
const olderCodes: ReadonlyMap<number, number> = new Map([
  [reasonCodes.unsupportedProtocolVersion, 1],
  [reasonCodes.clientIdNotValid, 2],
  [reasonCodes.serverUnavailable, 3],
  [reasonCodes.quotaExceeded, 3],
])

/** The keep-alive that AWS IoT puts in force: 0 and what is too long mean the longest ("MQTT keep-alive"). */
function keepAliveInForce(requestedSeconds: number): number {
  const { minKeepAliveSeconds, maxKeepAliveSeconds } = brokerLimits
  if (requestedSeconds === 0) return maxKeepAliveSeconds
  return Math.min(Math.max(requestedSeconds, minKeepAliveSeconds), maxKeepAliveSeconds)
}
