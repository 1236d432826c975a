import type { Socket } from 'node:net'

import { generate, type IConnectPacket, type IPublishPacket, type ISubackPacket } from 'mqtt-packet'

import { MqttViolation, type MqttVersion } from './mqtt-frames.ts'
import { reasonCodes } from './packet-decisions.ts'
import { brokerLimits } from './topic-limits.ts'

/** What a connection knows once its CONNECT was accepted. */
export interface GateSession {
  readonly version: MqttVersion
  readonly clientId: string
  readonly connect: IConnectPacket
  readonly broker: Socket
  readonly filters: Set<string>
  readonly aliases: Map<number, string>
  /** By message id, what each filter of a SUBSCRIBE gets that the broker never sees. */
  readonly refusedFilters: Map<number, readonly (number | undefined)[]>
}

/** How packets of this session are written. */
export function writtenAs({ version }: GateSession): { readonly protocolVersion: MqttVersion } {
  return { protocolVersion: version }
}

/** The topic of a message that may name it by an alias (MQTT 5, section 3.3.2.3.4). */
export function resolveAlias(aliases: Map<number, string>, { topic, properties }: IPublishPacket): string {
  const alias = properties?.topicAlias
  if (alias === undefined) return topic
  if (alias < 1 || alias > brokerLimits.maxTopicAliases) {
    throw new MqttViolation(reasonCodes.topicAliasInvalid, `the topic alias ${alias} is out of range`)
  }
  const known = topic === '' ? aliases.get(alias) : topic
  if (known === undefined) throw new MqttViolation(reasonCodes.protocolError, `the topic alias ${alias} is not known`)
  aliases.set(alias, known)
  return known
}

/** The broker's SUBACK with the filters that it never saw. */
export function withRefusals({ refusedFilters, version }: GateSession, packet: ISubackPacket, bytes: Buffer): Buffer {
  const refusals = refusedFilters.get(packet.messageId ?? 0)
  if (refusals === undefined) return bytes
  refusedFilters.delete(packet.messageId ?? 0)
  const granted = packet.granted.values()
  const codes = refusals.map((refused) => refused ?? Number(granted.next().value))
  return generate({ ...packet, granted: forVersion(codes, version) }, { protocolVersion: version })
}

/** MQTT 3.1.1 knows one code of failure only. */
export function forVersion(codes: readonly number[], version: MqttVersion): number[] {
  return codes.map((code) => (version === 5 || code < 0x80 ? code : 0x80))
}
