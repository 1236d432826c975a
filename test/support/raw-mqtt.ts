import { EventEmitter, once } from 'node:events'
import { connect, type ConnectionOptions } from 'node:tls'

import { generate, type IConnectPacket, type Packet, type PacketCmd } from 'mqtt-packet'

import type { KeyAndCertificate } from '../cloud/certificates.ts'
import type { IotCloud } from '../cloud/iot/iot-cloud.ts'
import { MqttFrames, type MqttVersion } from '../cloud/iot/mqtt-frames.ts'

export interface RawMqttOptions {
  readonly identity?: KeyAndCertificate
  readonly version?: MqttVersion
  readonly tls?: ConnectionOptions
}

/** An MQTT connection on which a test says every packet itself, those included that no SDK would send. */
export class RawMqtt implements AsyncDisposable {
  readonly #socket
  readonly #version: MqttVersion
  readonly #arrivals = new EventEmitter()
  readonly #packets: Packet[] = []
  readonly #frames = new MqttFrames(1_048_576)
  #closed = false

  constructor(cloud: IotCloud, { identity, version = 5, tls = {} }: RawMqttOptions) {
    this.#version = version
    this.#frames.useVersion(version)
    this.#socket = connect({
      port: Number(cloud.endpoints.mqtt.split(':')[1]),
      host: '127.0.0.1',
      servername: 'localhost',
      ca: cloud.rootCaPem,
      ...(identity === undefined ? {} : { cert: identity.certificatePem, key: identity.privateKeyPem }),
      ...tls,
    })
    this.#socket.on('data', (chunk: Buffer) => {
      for (const { packet } of this.#frames.push(chunk)) this.#packets.push(packet)
      this.#arrivals.emit('arrived')
    })
    this.#socket.on('error', () => undefined)
    this.#socket.once('close', () => {
      this.#closed = true
      this.#arrivals.emit('arrived')
    })
  }

  send(packet: Packet): void {
    this.#socket.write(generate(packet, { protocolVersion: this.#version }))
  }

  connect(clientId: string, options: Partial<IConnectPacket> = {}): void {
    const protocolVersion = this.#version
    this.send({ cmd: 'connect', clientId, protocolVersion, clean: true, keepalive: 60, ...options })
  }

  /** The next packet, which has to be of this kind. */
  async next<C extends PacketCmd>(cmd: C): Promise<Extract<Packet, { cmd: C }>> {
    const signal = AbortSignal.timeout(10_000)
    while (this.#packets.length === 0) {
      if (this.#closed) throw new Error(`the connection is closed where a ${cmd} was expected`)
      await once(this.#arrivals, 'arrived', { signal })
    }
    const packet = this.#packets.shift()
    if (!isOf(packet, cmd)) throw new Error(`not a ${cmd}: ${JSON.stringify(packet)}`)
    return packet
  }

  /** Resolves when the other side has closed the connection, with what it had said before and nobody took. */
  async untilClosed(): Promise<readonly Packet[]> {
    const signal = AbortSignal.timeout(10_000)
    while (!this.#closed) await once(this.#arrivals, 'arrived', { signal })
    return this.#packets
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#socket.destroy()
    await once(this.#socket, 'close')
  }
}

function isOf<C extends PacketCmd>(packet: Packet | undefined, cmd: C): packet is Extract<Packet, { cmd: C }> {
  return packet?.cmd === cmd
}
