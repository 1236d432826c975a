import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

import { generate, type IConnectPacket, type IPublishPacket, type ISubscribePacket, type Packet } from 'mqtt-packet'

import { openBrokerSocket } from './broker-socket.ts'
import type { ConnectionCertificate } from './connection-certificate.ts'
import { acceptedConnack, connectForBroker, refusedConnack, versionOf } from './connect-packets.ts'
import { answerBytes, type DirectService } from './direct-service.ts'
import { forVersion, resolveAlias, withRefusals, writtenAs, type GateSession } from './gate-session.ts'
import type { IotTraffic } from './iot-traffic.ts'
import { MqttFrames, MqttViolation, type Frame, type MqttVersion } from './mqtt-frames.ts'
import { decideConnect, decidePublish, decideSubscription, mayReceive, reasonCodes } from './packet-decisions.ts'
import { brokerLimits } from './topic-limits.ts'

/**
 * How a policy's denial shows: by reason code where the packet has an answer, or by closing at once. What AWS IoT does
 * where is not documented in full.
 */
export type Denial = 'reason-code' | 'close'

export interface GateConnectionOptions {
  readonly client: TLSSocket
  readonly certificate: ConnectionCertificate
  readonly traffic: IotTraffic
  /** Undefined while the broker or the services on it are away. */
  readonly brokerPath: () => string | undefined
  readonly direct: DirectService
  readonly isBlackhole: () => boolean
  readonly denial: () => Denial
  /** Whether one more CONNECT of this client id is within the quotas. */
  readonly takeConnect: (clientId: string) => boolean
  /** Ends the other connections of this client id. The broker would do it too, but without saying why. */
  readonly takeOver: (clientId: string) => void
  readonly onDefect: (error: unknown) => void
}

const connectTimeoutMs = 10_000
const maxBrokerPacketBytes = 1_048_576

/** One client's connection from its handshake to its end: what passes the decisions goes on to the broker. */
export class GateConnection {
  readonly #options: GateConnectionOptions
  readonly #frames = new MqttFrames(brokerLimits.maxPacketBytes)
  readonly #gone = new AbortController()
  #session: GateSession | undefined
  #fromBroker: Promise<void> | undefined
  #ended = false

  constructor(options: GateConnectionOptions) {
    this.#options = options
  }

  /** Undefined until a CONNECT was accepted. */
  get clientId(): string | undefined {
    return this.#session?.clientId
  }

  get filters(): readonly string[] {
    return [...(this.#session?.filters ?? [])]
  }

  get keepAliveSeconds(): number {
    return this.#session?.connect.keepalive ?? 0
  }

  /** Ends what a certificate that is no longer good had opened. */
  checkCertificate(): void {
    if (!this.#options.certificate.isGood) this.#disconnect(reasonCodes.notAuthorized)
  }

  /** Another client came with the same id. */
  beTakenOver(): void {
    this.#disconnect(reasonCodes.sessionTakenOver)
  }

  /** Resolves when both sides are closed. Never rejects. */
  async run(): Promise<void> {
    const { client } = this.#options
    client.once('close', () => {
      this.#gone.abort()
    })
    client.on('error', () => {
      client.destroy()
    })
    const timer = setTimeout(() => {
      if (this.#session === undefined) client.destroy()
    }, connectTimeoutMs)
    await this.#read(client, this.#frames, (frame) => this.#handleClient(frame))
    clearTimeout(timer)
    this.#session?.broker.destroySoon()
    client.destroySoon()
    await this.#fromBroker
    if (!client.closed) await once(client, 'close')
  }

  async #read(socket: Socket, frames: MqttFrames, handle: (frame: Frame) => Promise<void>): Promise<void> {
    try {
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
        if (!Buffer.isBuffer(chunk)) continue
        for (const frame of frames.push(chunk)) {
          if (this.#ended) return
          if (!this.#options.isBlackhole()) await handle(frame)
        }
      }
    } catch (error) {
      if (error instanceof MqttViolation) this.#disconnect(error.reasonCode)
      else if (!this.#gone.signal.aborted && !isSocketError(error)) this.#options.onDefect(error)
    }
  }

  async #handleClient(frame: Frame): Promise<void> {
    const session = this.#session
    const { packet, bytes } = frame
    if (session === undefined) {
      if (packet.cmd !== 'connect') throw new MqttViolation(reasonCodes.protocolError, 'CONNECT comes first')
      await this.#connect(packet, bytes.length)
      return
    }
    this.checkCertificate()
    if (this.#ended) return
    switch (packet.cmd) {
      case 'publish':
        return this.#publish(session, packet, bytes)
      case 'subscribe':
        return this.#subscribe(session, packet, bytes)
      case 'unsubscribe':
        for (const filter of packet.unsubscriptions) session.filters.delete(filter)
        return this.#write(session.broker, bytes)
      case 'disconnect':
        this.#record('Disconnect', { bytes: bytes.length })
        return this.#write(session.broker, bytes)
      case 'puback':
      case 'pingreq':
        return this.#write(session.broker, bytes)
      default:
        throw new MqttViolation(reasonCodes.protocolError, `${packet.cmd} is not for a client to send`)
    }
  }

  async #connect(packet: IConnectPacket, bytes: number): Promise<void> {
    const { certificate, traffic, brokerPath, client } = this.#options
    const { clientId } = packet
    this.#frames.useVersion(versionOf(packet))
    const hit = await traffic.faultsOf('Connect', client, this.#gone.signal)
    const path = brokerPath()
    const refusal = hit.reasonCode ?? this.#connectRefusal(packet)
    const reasonCode = refusal ?? (path === undefined ? reasonCodes.serverUnavailable : undefined)
    const status = hit.swallowed ? 0 : (reasonCode ?? 200)
    traffic.record({ action: 'Connect', path: clientId, status, bytes, ...certificate.principal(clientId) })
    if (hit.swallowed) return
    if (reasonCode === undefined && path !== undefined) await this.#openSession(packet, path)
    else this.#refuseConnect(versionOf(packet), reasonCode ?? reasonCodes.serverUnavailable)
  }

  #connectRefusal(packet: IConnectPacket): number | undefined {
    const { certificate, takeConnect } = this.#options
    if (!takeConnect(packet.clientId)) return reasonCodes.quotaExceeded
    const decision = decideConnect(packet, certificate.principal(packet.clientId))
    return decision.kind === 'pass' ? undefined : decision.reasonCode
  }

  async #openSession(packet: IConnectPacket, brokerPath: string): Promise<void> {
    const version = versionOf(packet)
    const { clientId } = packet
    const broker = await openBrokerSocket(brokerPath, this.#gone.signal)
    if (this.#ended) {
      broker.destroy()
      return
    }
    this.#options.takeOver(clientId)
    broker.on('error', () => {
      broker.destroy()
    })
    const session: GateSession = {
      version,
      clientId,
      connect: packet,
      broker,
      filters: new Set(),
      aliases: new Map(),
      refusedFilters: new Map(),
    }
    this.#session = session
    const frames = new MqttFrames(maxBrokerPacketBytes)
    frames.useVersion(version)
    this.#fromBroker = this.#read(broker, frames, (frame) => this.#handleBroker(session, frame)).finally(() => {
      broker.destroy()
      this.#options.client.destroySoon()
    })
    await this.#write(broker, generate(connectForBroker(packet), writtenAs(session)))
  }

  #refuseConnect(version: MqttVersion, reasonCode: number): void {
    const silent = reasonCode === reasonCodes.notAuthorized && this.#options.denial() === 'close'
    this.#end(silent ? undefined : generate(refusedConnack(version, reasonCode), { protocolVersion: version }))
  }

  async #publish(session: GateSession, packet: IPublishPacket, bytes: Buffer): Promise<void> {
    const topic = resolveAlias(session.aliases, packet)
    const hit = await this.#options.traffic.faultsOf('Publish', this.#options.client, this.#gone.signal)
    const decision = decidePublish({ ...packet, topic }, this.#options.certificate.principal(session.clientId))
    const reasonCode = hit.reasonCode ?? (decision.kind === 'pass' ? undefined : decision.reasonCode)
    this.#record('Publish', { path: topic, bytes: bytes.length, status: hit.swallowed ? 0 : (reasonCode ?? 200) })
    if (hit.swallowed) return
    if (reasonCode === undefined && this.#options.direct.isRequest(topic))
      return this.#ask(session, { ...packet, topic })
    if (reasonCode === undefined) return this.#write(session.broker, bytes)
    const answerable = packet.qos === 1 && session.version === 5 && packet.messageId !== undefined
    const refused = hit.reasonCode !== undefined || decision.kind === 'refuse'
    if (!refused || !answerable || this.#closesOn(reasonCode)) this.#disconnect(reasonCode)
    else await this.#answer(session, { cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode })
  }

  /** Takes a request that is answered on this connection alone; what comes after it does not wait for the answer. */
  async #ask(session: GateSession, { topic, payload, qos, messageId = 0 }: IPublishPacket): Promise<void> {
    const { certificate, direct, isBlackhole, onDefect } = this.#options
    const { clientId } = session
    if (qos === 1) await this.#answer(session, { cmd: 'puback', messageId, reasonCode: reasonCodes.success })
    const caller = { clientId, certificateId: certificate.principal(clientId).certificate.certificateId }
    direct
      .answer({ topic, payload: Buffer.from(payload), caller })
      .then(async (answer) => {
        if (answer === undefined || this.#ended || isBlackhole()) return
        const bytes = answerBytes(session, answer, certificate.principal(clientId))
        const hit = await this.#options.traffic.faultsOf('Receive', this.#options.client, this.#gone.signal)
        if (bytes === undefined || hit.swallowed) return
        this.#record('Receive', { path: answer.topic, bytes: bytes.length })
        await this.#write(this.#options.client, bytes)
      })
      .catch((error: unknown) => {
        if (!this.#gone.signal.aborted) onDefect(error)
      })
  }

  async #subscribe(session: GateSession, packet: ISubscribePacket, bytes: Buffer): Promise<void> {
    const { subscriptions, messageId = 0 } = packet
    const hit = await this.#options.traffic.faultsOf('Subscribe', this.#options.client, this.#gone.signal)
    const refusals = subscriptions.map((subscription) => hit.reasonCode ?? this.#refusalOf(session, subscription.topic))
    for (const [index, { topic: path }] of subscriptions.entries()) {
      const status = hit.swallowed ? 0 : (refusals[index] ?? 200)
      this.#record('Subscribe', { path, bytes: index === 0 ? bytes.length : 0, status })
    }
    if (hit.swallowed) return
    if (subscriptions.length > brokerLimits.maxFiltersPerSubscribe) throw tooMuch('filters in one SUBSCRIBE')
    if (packet.properties?.subscriptionIdentifier !== undefined) {
      throw new MqttViolation(reasonCodes.subscriptionIdentifiersNotSupported, 'subscription identifiers')
    }
    if (this.#ended) return
    const refused = refusals.filter((code) => code !== undefined)
    if (refused.some((code) => this.#closesOn(code))) {
      this.#disconnect(reasonCodes.notAuthorized)
    } else if (refused.length === 0) {
      await this.#write(session.broker, bytes)
    } else if (refused.length === subscriptions.length) {
      await this.#answer(session, { cmd: 'suback', messageId, granted: forVersion(refused, session.version) })
    } else {
      session.refusedFilters.set(messageId, refusals)
      const passing = subscriptions.filter((_subscription, index) => refusals[index] === undefined)
      const rest = generate({ ...packet, subscriptions: passing }, { protocolVersion: session.version })
      await this.#write(session.broker, rest)
    }
  }

  /** Takes note of a filter that passes. */
  #refusalOf({ clientId, filters }: GateSession, filter: string): number | undefined {
    const decision = decideSubscription({ topic: filter }, this.#options.certificate.principal(clientId))
    if (decision.kind === 'disconnect') this.#disconnect(decision.reasonCode)
    if (decision.kind !== 'pass') return decision.reasonCode
    if (!filters.has(filter) && filters.size >= brokerLimits.maxSubscriptions) return reasonCodes.quotaExceeded
    filters.add(filter)
    return undefined
  }

  async #handleBroker(session: GateSession, { packet, bytes }: Frame): Promise<void> {
    switch (packet.cmd) {
      case 'connack':
        return this.#answer(session, acceptedConnack(packet, session.connect))
      case 'publish':
        return this.#deliver(session, packet, bytes)
      case 'suback':
        return this.#write(this.#options.client, withRefusals(session, packet, bytes))
      default:
        return this.#write(this.#options.client, bytes)
    }
  }

  async #deliver(session: GateSession, packet: IPublishPacket, bytes: Buffer): Promise<void> {
    const { certificate, traffic, client } = this.#options
    const allowed = mayReceive(packet.topic, certificate.principal(session.clientId))
    const hit = await traffic.faultsOf('Receive', client, this.#gone.signal)
    if (allowed && !hit.swallowed) {
      this.#record('Receive', { path: packet.topic, bytes: bytes.length })
      return this.#write(client, bytes)
    }
    if (packet.qos === 1 && packet.messageId !== undefined) {
      const puback = generate({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 }, writtenAs(session))
      await this.#write(session.broker, puback)
    }
  }

  #closesOn(reasonCode: number): boolean {
    return reasonCode === reasonCodes.notAuthorized && this.#options.denial() === 'close'
  }

  #record(action: string, { path = '', status = 200, bytes = 0 }: RecordDetails): void {
    const clientId = this.#session?.clientId ?? ''
    const { thingName } = this.#options.certificate.principal(clientId)
    this.#options.traffic.record({ action, path, status, bytes, thingName })
  }

  async #answer(session: GateSession, packet: Packet): Promise<void> {
    await this.#write(this.#options.client, generate(packet, writtenAs(session)))
  }

  async #write(socket: Socket, bytes: Buffer): Promise<void> {
    if (socket.destroyed || !socket.writable) return
    if (!socket.write(bytes)) await once(socket, 'drain', { signal: this.#gone.signal })
  }

  #disconnect(reasonCode: number): void {
    const session = this.#session
    if (session?.version !== 5 || this.#closesOn(reasonCode)) this.#end(undefined)
    else this.#end(generate({ cmd: 'disconnect', reasonCode }, writtenAs(session)))
  }

  #end(lastWords: Buffer | undefined): void {
    if (this.#ended) return
    this.#ended = true
    const { client } = this.#options
    if (lastWords !== undefined && client.writable) client.write(lastWords)
    this.#session?.broker.destroy()
    client.destroySoon()
  }
}

interface RecordDetails {
  readonly path?: string
  readonly status?: number
  readonly bytes?: number
}

function tooMuch(what: string): MqttViolation {
  return new MqttViolation(reasonCodes.quotaExceeded, `too many ${what}`)
}

function isSocketError(error: unknown): boolean {
  return error instanceof Error && 'code' in error
}
