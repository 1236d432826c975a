import { randomUUID } from 'node:crypto'

import { sleep } from '../../../agent/lib/sleep.ts'
import type { CloudFrame } from '../cloud-frame.ts'
import { BrokerClient } from './broker-client.ts'
import type { Mosquitto } from './mosquitto.ts'
import type { TopicAnswer, TopicService } from './topic-service.ts'

export interface IotServicesOptions {
  readonly account: Pick<CloudFrame, 'now' | 'faults' | 'requests' | 'quotas'>
  readonly broker: Mosquitto
  readonly services: readonly TopicService[]
  readonly onDefect: (error: unknown) => void
}

const tickMs = 50

/**
 * The services behind the broker, as clients of their own on it. Faults hit a request by the service's name and the
 * API's action: `error` is answered as a rejection, `stall` and `reset` are never answered, `latency` is late.
 */
export class IotServices implements AsyncDisposable {
  readonly #options: IotServicesOptions
  readonly #answering = new Set<Promise<void>>()
  readonly #closing = new AbortController()
  readonly #timer: NodeJS.Timeout
  #client: BrokerClient | undefined

  private constructor(options: IotServicesOptions) {
    this.#options = options
    this.#timer = setInterval(() => {
      for (const { tick } of options.services) tick()
    }, tickMs)
  }

  static async start(options: IotServicesOptions): Promise<IotServices> {
    const services = new IotServices(options)
    try {
      await services.connect()
      return services
    } catch (error) {
      await services[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Whether requests are answered. */
  get isConnected(): boolean {
    return this.#client?.isOpen === true
  }

  /** Connects to the broker, anew after the broker was away. */
  async connect(): Promise<void> {
    await this.#client?.[Symbol.asyncDispose]()
    const { broker, services, onDefect } = this.#options
    this.#client = await BrokerClient.open({
      socketPath: broker.socketPath,
      filters: services.flatMap(({ filters }) => filters),
      onMessage: (topic, payload) => {
        this.#accept(topic, payload)
      },
      onDefect,
    })
  }

  /** Sends a message to whoever subscribed; lost while the broker is away. */
  publish(topic: string, body: unknown): void {
    this.#client?.publish(topic, JSON.stringify(body))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#closing.abort()
    await Promise.all(this.#answering)
    await this.#client?.[Symbol.asyncDispose]()
  }

  #accept(topic: string, payload: Buffer): void {
    const service = this.#options.services.find(({ requestOf }) => requestOf(topic) !== undefined)
    if (service === undefined) return
    const answering = this.#serve(service, topic, payload)
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted) this.#options.onDefect(error)
      })
      .finally(() => this.#answering.delete(answering))
    this.#answering.add(answering)
  }

  async #serve(service: TopicService, topic: string, payload: Buffer): Promise<void> {
    const { action = '', thingName } = service.requestOf(topic) ?? {}
    const { faults, quotas } = this.#options.account
    const hits = faults.takeForRequest(service.name, action)
    for (const fault of hits) if (fault.kind === 'latency') await sleep(fault.delayMs, this.#closing.signal)
    const error = hits.find((fault) => fault.kind === 'error')
    const swallowed = hits.some(({ kind }) => kind === 'stall' || kind === 'reset')
    const answer = (): TopicAnswer => {
      if (error !== undefined) {
        return service.refuse(payload, { message: `${error.code} on demand`, ...error })
      }
      if (quotas.take(service.name, action)) return service.answer(topic, payload)
      return service.refuse(payload, { status: 429, code: 'RequestThrottled', message: 'Rate exceeded' })
    }
    const answered = swallowed ? undefined : answer()
    const body = JSON.stringify(answered?.body ?? {})
    this.#options.account.requests.add({
      id: randomUUID(),
      service: service.name,
      action,
      atMs: this.#options.account.now(),
      status: answered?.status ?? 0,
      requestBytes: payload.length,
      responseBytes: answered === undefined ? 0 : body.length,
      host: 'localhost',
      path: topic,
      thingName,
      callerArn: undefined,
    })
    if (answered !== undefined) this.#client?.publish(`${topic}/${answered.accepted ? 'accepted' : 'rejected'}`, body)
  }
}
