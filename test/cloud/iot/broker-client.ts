import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { generate, type Packet } from 'mqtt-packet'

import { MqttFrames } from './mqtt-frames.ts'

export interface BrokerClientOptions {
  readonly socketPath: string
  readonly filters: readonly string[]
  readonly onMessage: (topic: string, payload: Buffer) => void
  /** Gets what `onMessage` threw: a defect of the cloud itself. */
  readonly onDefect: (error: unknown) => void
}

const protocolVersion = 5
const version = { protocolVersion }
const answerTimeoutMs = 10_000
const maxPacketBytes = 1_048_576
const maxMessageId = 0xffff

/** A service's own connection to the broker, behind the gate. It ends with the broker; there is no second life. */
export class BrokerClient implements AsyncDisposable {
  readonly #socket: Socket
  readonly #options: BrokerClientOptions
  readonly #frames = new MqttFrames(maxPacketBytes)
  readonly #ready = Promise.withResolvers<undefined>()
  #messageId = 0

  private constructor(options: BrokerClientOptions) {
    this.#options = options
    this.#frames.useVersion(protocolVersion)
    this.#socket = connect(options.socketPath)
    this.#socket.on('error', (error) => {
      this.#ready.reject(error)
    })
    this.#socket.on('close', () => {
      this.#ready.reject(new Error('the broker closed the connection of a service'))
    })
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        for (const { packet } of this.#frames.push(chunk)) this.#handle(packet)
      } catch (error) {
        options.onDefect(error)
      }
    })
  }

  /** Resolves once the broker delivers what the filters match. */
  static async open(options: BrokerClientOptions): Promise<BrokerClient> {
    const client = new BrokerClient(options)
    client.#send({ cmd: 'connect', protocolVersion, clientId: `service-${randomUUID()}`, clean: true, keepalive: 0 })
    const timer = setTimeout(() => {
      client.#ready.reject(new Error('the broker does not answer a service'))
    }, answerTimeoutMs)
    try {
      await client.#ready.promise
      return client
    } catch (error) {
      client.#socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed
  }

  /** At least once; lost when the broker goes away, as a message that nobody subscribed to. */
  publish(topic: string, payload: string): void {
    this.#send({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId: this.#nextId() })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.closed) return
    this.#socket.destroy()
    await once(this.#socket, 'close')
  }

  #handle(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        this.#send({
          cmd: 'subscribe',
          messageId: this.#nextId(),
          subscriptions: this.#options.filters.map((topic) => ({ topic, qos: 1 })),
        })
        return
      case 'suback':
        this.#ready.resolve(undefined)
        return
      case 'publish':
        if (packet.qos === 1 && packet.messageId !== undefined) {
          this.#send({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 })
        }
        this.#options.onMessage(packet.topic, Buffer.from(packet.payload))
        return
      default:
    }
  }

  #send(packet: Packet): void {
    if (!this.#socket.destroyed) this.#socket.write(generate(packet, version))
  }

  #nextId(): number {
    this.#messageId = (this.#messageId % maxMessageId) + 1
    return this.#messageId
  }
}
