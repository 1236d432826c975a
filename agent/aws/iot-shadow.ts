import { iotshadow, mqtt5, mqtt_request_response } from 'aws-iot-device-sdk-v2'

import { withDeadline } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { ReportedState } from '../status/reported-state.ts'
import type { Shadow } from '../status/shadow-worker.ts'
import type { IotConnection } from './iot-connection.ts'

export interface IotShadowOptions {
  readonly connection: IotConnection
  readonly thingName: string
  readonly shadowName: string
}

const answerWithinSeconds = 15
const callWithinMs = 20_000
const notFound = 404

/** A named shadow over MQTT (AWS IoT Core developer guide, "Device Shadow MQTT topics"). */
export class IotShadow implements Shadow, Disposable {
  readonly #options: IotShadowOptions
  readonly #listeners = new Set<() => void>()
  readonly #connected: Disposable
  #client: iotshadow.IotShadowClientv2 | undefined
  #listened: mqtt5.Mqtt5Client | undefined

  constructor(options: IotShadowOptions) {
    this.#options = options
    this.#connected = options.connection.onConnected(() => {
      this.#listen().catch(() => undefined) // a deletion is then learnt of at the next connection
      this.#mayBeLost()
    })
  }

  [Symbol.dispose](): void {
    this.#connected[Symbol.dispose]()
    this.#listeners.clear()
    this.#listened?.removeListener('messageReceived', this.#received)
    this.#client?.close()
    this.#client = undefined
  }

  readonly onMayBeLost = (listener: () => void): Disposable => {
    this.#listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener)
      },
    }
  }

  readonly reported = async (signal: AbortSignal): Promise<ReportedState | undefined> => {
    const { thingName, shadowName } = this.#options
    const request = { thingName, shadowName }
    const { state } = await this.#call('GetThingShadow', { request, signal }, async (client) => {
      try {
        return await client.getNamedShadow(request)
      } catch (error) {
        if (isNotFound(error)) return {}
        throw error
      }
    })
    return state?.reported as ReportedState | undefined // any JSON object, as it was reported
  }

  readonly report = async (patch: ReportedState, signal: AbortSignal): Promise<void> => {
    const { thingName, shadowName } = this.#options
    const request = { thingName, shadowName, state: { reported: { ...patch } } }
    await this.#call('UpdateThingShadow', { request, signal }, async (client) => client.updateNamedShadow(request))
  }

  /** The device SDK has no stream of deletions. */
  async #listen(): Promise<void> {
    const protocol = await this.#options.connection.client()
    if (this.#listened !== protocol) protocol.on('messageReceived', this.#received)
    this.#listened = protocol
    await protocol.subscribe({
      subscriptions: [{ topicFilter: this.#deletedTopic, qos: mqtt5.QoS.AtLeastOnce }],
    })
  }

  readonly #received = ({ message }: mqtt5.MessageReceivedEvent): void => {
    if (message.topicName === this.#deletedTopic) this.#mayBeLost()
  }

  get #deletedTopic(): string {
    const { thingName, shadowName } = this.#options
    return `$aws/things/${thingName}/shadow/name/${shadowName}/delete/accepted`
  }

  #mayBeLost(): void {
    for (const listener of this.#listeners) listener()
  }

  async #call<T>(
    operation: string,
    { request, signal }: { readonly request: object; readonly signal: AbortSignal },
    ask: (client: iotshadow.IotShadowClientv2) => Promise<T>,
  ): Promise<T> {
    const { connection } = this.#options
    const protocol = await connection.client()
    await connection.expectConnected(signal)
    this.#client ??= iotshadow.IotShadowClientv2.newFromMqtt5(protocol, {
      maxRequestResponseSubscriptions: 4,
      maxStreamingSubscriptions: 0,
      operationTimeoutInSeconds: answerWithinSeconds,
    })
    const client = this.#client
    return await withDeadline({ signal, withinMs: callWithinMs, what: operation }, async () => {
      try {
        connection.countRequest(operation, request)
        return await ask(client)
      } catch (error) {
        throw toAgentError(operation, error)
      }
    })
  }
}

function isNotFound(error: unknown): boolean {
  const answer = error instanceof mqtt_request_response.ServiceError ? modelled(error) : undefined
  return answer?.code === notFound
}

function toAgentError(operation: string, error: unknown): unknown {
  if (!(error instanceof mqtt_request_response.ServiceError)) return error
  const { code, message = '' } = modelled(error) ?? {}
  if (code === undefined)
    return new AgentError(`${operation} got no answer`, { retryable: true, cause: error.internalError ?? error })
  const hint = 'allow the shadow panorama-agent of the thing as config/cloud/iot-device-policy.json does'
  return new AgentError(`${operation}: ${code} ${message}`, { retryable: true, ...(code === 403 ? { hint } : {}) })
}

function modelled(error: mqtt_request_response.ServiceError): iotshadow.model.V2ErrorResponse | undefined {
  return error.modeledError as iotshadow.model.V2ErrorResponse | undefined // typed any there
}
