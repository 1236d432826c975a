import type { mqtt5 } from 'aws-iot-device-sdk-v2'

import type { ByteCounter } from '../lib/byte-counter.ts'
import { monotonicMs } from '../lib/monotonic.ts'

export interface MqttTrafficOptions {
  readonly counter: Pick<ByteCounter, 'add'>
  readonly keepAliveSeconds: number
  /** By which the connection goes, if by any. */
  readonly proxy: { readonly isTls: boolean } | undefined
}

/** What goes over the TCP connection, for what can be seen from here: rather too much than too little. */
const carried = {
  /** TLS with both chains as AWS has them, CONNECT and CONNACK. */
  handshake: 7_000,
  tunnel: 500,
  /** TLS with a proxy, which has no certificate of ours. */
  toProxy: 5_500,
  /** PINGREQ and PINGRESP as records of TLS. */
  ping: 64,
  /** To both answers of an operation, at its first request. */
  subscriptions: 600,
  /** PUBLISH without topic and payload, and PUBACK, as records of TLS. */
  message: 80,
  /** A topic of AWS IoT without the thing name. */
  topic: 100,
} as const

/** In these the server was not reached, and nothing was sent to it. */
const unreached =
  /DNS|CONNECTION_REFUSED|SOCKET_(TIMEOUT|NO_ROUTE|UNREACHABLE|NETWORK_DOWN|CONNECT_ABORTED|INVALID_ADDRESS)/

/** Counts the bytes of an MQTT connection, whose sockets are the native client's, by what goes over it. */
export class MqttTraffic {
  readonly #options: MqttTrafficOptions
  readonly #operations = new Set<string>()
  #isAttempting = false
  /** Up to when its pings are counted; undefined while there is no connection. */
  #pingsCountedMs: number | undefined

  constructor(options: MqttTrafficOptions) {
    this.#options = options
  }

  /** Counts connections, attempts at one that the server refused, and whatever comes, asked for or not. */
  follow(client: mqtt5.Mqtt5Client): void {
    client.on('attemptingConnect', () => {
      this.#isAttempting = true
    })
    client.on('connectionSuccess', () => {
      this.#addAttempt()
      this.#operations.clear()
      this.#pingsCountedMs = monotonicMs()
    })
    client.on('connectionFailure', ({ error }) => {
      this.#isAttempting = false
      const { error_name: name = '' } = Object(error) as { readonly error_name?: string } // an ICrtError, or a plain one
      if (name.includes('PROXY')) this.#add(this.#wayBytes())
      else if (!unreached.test(name)) this.#addAttempt()
    })
    client.on('disconnection', () => {
      this.#countPings()
      this.#pingsCountedMs = undefined
    })
    client.on('messageReceived', ({ message: { topicName, payload } }) => {
      this.#add(carried.message + Buffer.byteLength(topicName) + bytesOf(payload))
    })
  }

  /** To be called when the client was stopped: counts the attempt that this has cut off, of which nothing else is heard. */
  ended(): void {
    if (this.#isAttempting) this.#addAttempt()
  }

  /** Counts a request, whatever comes of it; its answer is counted when it comes. */
  asked(operation: string, request: object): void {
    if (!this.#operations.has(operation)) this.#add(carried.subscriptions)
    this.#operations.add(operation)
    this.#add(carried.message + carried.topic + Buffer.byteLength(JSON.stringify(request)))
    this.#countPings()
  }

  #addAttempt(): void {
    this.#isAttempting = false
    this.#add(carried.handshake + this.#wayBytes())
  }

  /** With a proxy, what it takes to get through it. */
  #wayBytes(): number {
    const { proxy } = this.#options
    if (proxy === undefined) return 0
    return carried.tunnel + (proxy.isTls ? carried.toProxy : 0)
  }

  #countPings(): void {
    if (this.#pingsCountedMs === undefined) return
    const everyMs = this.#options.keepAliveSeconds * 1_000
    const pings = Math.floor((monotonicMs() - this.#pingsCountedMs) / everyMs)
    this.#pingsCountedMs += pings * everyMs
    this.#add(pings * carried.ping)
  }

  #add(bytes: number): void {
    this.#options.counter.add(bytes)
  }
}

/** As it comes, it is an ArrayBuffer. */
function bytesOf(payload: mqtt5.Payload | undefined): number {
  if (payload === undefined) return 0
  if (typeof payload === 'string') return Buffer.byteLength(payload)
  return payload instanceof ArrayBuffer || ArrayBuffer.isView(payload)
    ? payload.byteLength
    : JSON.stringify(payload).length
}
