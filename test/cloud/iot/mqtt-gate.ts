import type { TLSSocket } from 'node:tls'

import type { CloudFrame } from '../cloud-frame.ts'
import type { Listener } from '../listener.ts'
import { ConnectionCertificate } from './connection-certificate.ts'
import type { DirectService } from './direct-service.ts'
import { GateConnection, type Denial } from './gate-connection.ts'
import { iotService, IotTraffic } from './iot-traffic.ts'
import { brokerLimits } from './topic-limits.ts'

type Account = Pick<CloudFrame, 'now' | 'appliances' | 'faults' | 'requests' | 'quotas' | 'openDoor'>

export interface MqttGateOptions {
  readonly account: Account
  readonly port: number
  /** Undefined while the broker or the services on it are away. */
  readonly brokerPath: () => string | undefined
  /** Answers what does not go to the broker. */
  readonly direct: DirectService
  readonly onDefect: (error: unknown) => void
}

/** A client that is connected. */
export interface ConnectedClient {
  readonly clientId: string
  readonly filters: readonly string[]
  readonly keepAliveSeconds: number
}

const certificateCheckMs = 200

/**
 * The data endpoint of AWS IoT Core: mutual TLS with SNI, ALPN `x-amzn-mqtt-ca` or none, MQTT 5 and 3.1.1. A client is
 * known by the SHA-256 of its certificate; one that is unknown, inactive, revoked or expired is dropped right after the
 * handshake. What passes the IoT policy and AWS's limits goes to the broker.
 */
export class MqttGate implements AsyncDisposable {
  readonly #options: MqttGateOptions
  readonly #connections = new Map<GateConnection, TLSSocket>()
  readonly #running = new Set<Promise<void>>()
  readonly #traffic: IotTraffic
  readonly #timer: NodeJS.Timeout
  #listener: Listener | undefined
  /** How a policy's denial shows from now on. */
  denial: Denial = 'reason-code'
  /** Whether a client has to ask for `x-amzn-mqtt-ca`, as on port 443. */
  requiresAlpn = false

  private constructor(options: MqttGateOptions) {
    this.#options = options
    const { now, faults, requests } = options.account
    this.#traffic = new IotTraffic({ now, faults, requests, reset: (port) => this.#listener?.reset(port) })
    this.#timer = setInterval(() => {
      for (const connection of this.#connections.keys()) connection.checkCertificate()
    }, certificateCheckMs)
  }

  static async open(options: MqttGateOptions): Promise<MqttGate> {
    const gate = new MqttGate(options)
    try {
      gate.#listener = await options.account.openDoor({
        port: options.port,
        protocols: [mqttProtocol],
        onConnection: (socket) => {
          gate.#accept(socket)
        },
      })
      return gate
    } catch (error) {
      clearInterval(gate.#timer)
      throw error
    }
  }

  get port(): number {
    return this.#listener?.port ?? 0
  }

  get clients(): readonly ConnectedClient[] {
    return [...this.#connections.keys()].flatMap(({ clientId, filters, keepAliveSeconds }) =>
      clientId === undefined ? [] : [{ clientId, filters, keepAliveSeconds }],
    )
  }

  /** Resets the connections of one client id, or all, and answers how many there were. */
  drop(clientId?: string): number {
    const dropped = [...this.#connections].filter(([{ clientId: own }]) => clientId === undefined || own === clientId)
    for (const [, { remotePort }] of dropped) this.#listener?.reset(remotePort)
    return dropped.length
  }

  /** Takes no more connections, and waits for the end of those that there are. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#listener?.unreachable()
    for (const socket of this.#connections.values()) socket.destroy()
    await Promise.all(this.#running)
  }

  #accept(client: TLSSocket): void {
    const { account, brokerPath, direct, onDefect } = this.#options
    const x509 = client.getPeerX509Certificate()
    const certificate = x509 === undefined ? undefined : new ConnectionCertificate(x509, account)
    const spoken = !this.requiresAlpn || client.alpnProtocol === mqttProtocol
    if (client.destroyed || certificate?.isGood !== true || !spoken) {
      client.destroy()
      return
    }
    const connection = new GateConnection({
      client,
      certificate,
      traffic: this.#traffic,
      brokerPath,
      direct,
      isBlackhole: () => this.#listener?.isBlackhole === true,
      denial: () => this.denial,
      takeConnect: (clientId) => this.#takeConnect(clientId),
      takeOver: (clientId) => {
        for (const other of this.#connections.keys()) if (other.clientId === clientId) other.beTakenOver()
      },
      onDefect,
    })
    this.#connections.set(connection, client)
    const running = connection.run().finally(() => {
      this.#connections.delete(connection)
      this.#running.delete(running)
    })
    this.#running.add(running)
  }

  #takeConnect(clientId: string): boolean {
    const { quotas } = this.#options.account
    const own = quotas.takeFixed(`${iotService}:Connect:${clientId}`, brokerLimits.connectsPerSecondAndClientId)
    return own && quotas.take(iotService, 'Connect')
  }
}

const mqttProtocol = 'x-amzn-mqtt-ca'
