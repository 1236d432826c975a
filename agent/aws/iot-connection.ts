import { isDeepStrictEqual } from 'node:util'

import { iot, mqtt5, type http } from 'aws-iot-device-sdk-v2'

import { untilAborted, withDeadline } from '../lib/abort.ts'
import { AgentError, DeadlineError } from '../lib/errors.ts'
import type { ByteCounter } from '../lib/byte-counter.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { lookAtConnection } from './connection-check.ts'
import type { Dialer } from './dialer.ts'
import { endpointAddress } from './endpoint-address.ts'
import { connectionError, isWorthALook, type ConnectionContext } from './iot-connection-errors.ts'
import type { ClientIdentity } from './iot-credential-source.ts'
import { mqttProxy, proxyTerms, type ProxyTerms } from './mqtt-proxy.ts'
import { MqttTraffic } from './mqtt-traffic.ts'
import type { Trust } from './trust.ts'

export interface IotConnectionOptions {
  /** Host or host:port of the Data-ATS endpoint. Port 443 speaks MQTT too, by ALPN. */
  readonly endpoint: string
  /** The thing name: only with it do the policy's thing variables have values. */
  readonly clientId: string
  readonly keepAliveSeconds: number
  readonly loadIdentity: () => Promise<ClientIdentity>
  readonly clockOffsetMs: () => number
  /** Knows the proxy, and looks why there is no connection. */
  readonly dialer: Dialer
  /** Whom to trust as a proxy that is spoken to by TLS. */
  readonly serviceTrust: () => Promise<Trust>
  /** Gets what the connection carries, as far as that can be told from here. */
  readonly counter?: Pick<ByteCounter, 'add'>
  /** The proxy takes other credentials now, or is vouched for by other roots, than at the start: it needs another process. */
  readonly onProxyChanged?: (() => void) | undefined
  readonly log: Log
  /** What to do where the server refuses the certificate; default for that of a device. */
  readonly refusedHint?: string | undefined
}

/** `sinceMs` is on the monotonic clock. */
export interface IotConnectionStatus {
  readonly state: 'waiting' | 'connecting' | 'connected' | 'down'
  readonly sinceMs: number
  readonly error: AgentError | undefined
}

export const defaultPort = 8883
const minReconnectMs = 1_000
const maxReconnectMs = 120_000
const stopWithinMs = 3_000
/** How long whoever asks waits for a first connection that is being made. */
const firstWithinMs = 5_000
const lookEveryMs = 30_000

/**
 * One MQTT 5 connection to AWS IoT Core with the device certificate, made anew by the CRT for as long as it is open: after 1
 * to 120 s with full jitter. Nothing is retained there for a client that is away, so whoever listens subscribes and
 * asks again after each connection.
 */
export class IotConnection implements AsyncDisposable {
  readonly #options: IotConnectionOptions
  readonly #failures: FailureLog
  readonly #traffic: MqttTraffic | undefined
  readonly #listeners = new Set<() => void>()
  /** Resolves when the first attempt has come to something, or will come to nothing. */
  readonly #attempted = Promise.withResolvers<undefined>()
  #client: mqtt5.Mqtt5Client | undefined
  #isClosed = false
  #isLooking = false
  #toldProxy: ProxyTerms | undefined
  #lookedAtMs = -Infinity
  /** By the last look, since when there was no connection. */
  #found: AgentError | undefined
  #status: IotConnectionStatus = { state: 'waiting', sinceMs: monotonicMs(), error: undefined }

  constructor(options: IotConnectionOptions) {
    this.#options = options
    this.#failures = new FailureLog(options.log)
    const { counter, keepAliveSeconds } = options
    const proxy = options.dialer.proxyFor(endpointAddress(options.endpoint, defaultPort))
    this.#traffic = counter === undefined ? undefined : new MqttTraffic({ counter, keepAliveSeconds, proxy })
  }

  get clientId(): string {
    return this.#options.clientId
  }

  status(): IotConnectionStatus {
    return this.#status
  }

  /** Calls the listener after each connection. */
  onConnected(listener: () => void): Disposable {
    this.#listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener)
      },
    }
  }

  /**
   * The client, started at the first call that finds an identity; it may not be connected. Throws what kept the identity, or the
   * credentials for a proxy, from being read.
   */
  async client(): Promise<mqtt5.Mqtt5Client> {
    if (this.#client !== undefined) return this.#client
    const identity = await this.#options.loadIdentity()
    const proxy = await this.#proxy()
    if (this.#isClosed) throw new AgentError('the connection is closed', { retryable: true })
    this.#client ??= this.#start(this.#configuration(identity, proxy))
    return this.#client
  }

  /**
   * Throws, with the reason, while there is no connection. The first one, which is made in a second or two, is waited for: that
   * it is not there yet is no failure.
   */
  async expectConnected(signal: AbortSignal): Promise<void> {
    await this.#firstAttempt(signal)
    const { state, error } = this.#status
    if (state === 'connected') return
    throw new AgentError('there is no connection to AWS IoT Core', {
      retryable: true,
      cause: error ?? new AgentError(state === 'waiting' ? 'none was begun' : 'it is being made'),
    })
  }

  /** Counts the bytes of a request that is about to be made over this connection. */
  countRequest(operation: string, request: object): void {
    this.#traffic?.asked(operation, request)
  }

  /** Everything of the client ends here; the process itself still has to be ended, as the CRT keeps it alive. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#attempted.resolve(undefined)
    const client = this.#client
    this.#client = undefined
    this.#listeners.clear()
    if (client === undefined) return
    const { promise: stopped, resolve } = Promise.withResolvers<undefined>()
    client.on('stopped', () => {
      resolve(undefined)
    })
    client.stop()
    const never = new AbortController().signal
    await withDeadline({ signal: never, withinMs: stopWithinMs, what: 'the end of the MQTT connection' }, async () => {
      await stopped
    }).catch((error: unknown) => {
      this.#options.log.warn('connection does not end', { error })
    })
    this.#traffic?.ended()
    client.close()
    client.removeAllListeners() // the native side may hold on to the client; not to all of a session by it
    client.on('error', () => undefined) // without a listener, it would be thrown
  }

  async #firstAttempt(signal: AbortSignal): Promise<void> {
    const deadline = { signal, withinMs: firstWithinMs, what: 'the first connection to AWS IoT Core' }
    const attempted = withDeadline(deadline, async (inner) => {
      await untilAborted(this.#attempted.promise, inner)
    })
    await attempted.catch((error: unknown) => {
      if (!(error instanceof DeadlineError)) throw error
      void this.#look(undefined) // the CRT takes up to half a minute over a server, or a proxy, that it does not trust
    })
  }

  async #proxy(): Promise<http.HttpProxyOptions | undefined> {
    const { endpoint, dialer, serviceTrust } = this.#options
    const proxy = dialer.proxyFor(endpointAddress(endpoint, defaultPort))
    if (proxy === undefined) return undefined
    const told = await proxyTerms(proxy, serviceTrust)
    this.#toldProxy = told
    return mqttProxy(proxy, told)
  }

  /** The CRT has been told once; nobody can tell it again. */
  async #hasProxyChanged(): Promise<boolean> {
    const { endpoint, dialer, serviceTrust } = this.#options
    const proxy = dialer.proxyFor(endpointAddress(endpoint, defaultPort))
    if (proxy === undefined) return false
    const { credentials, trust } = await proxyTerms(proxy, serviceTrust)
    return (
      trust?.roots !== this.#toldProxy?.trust?.roots || !isDeepStrictEqual(credentials, this.#toldProxy?.credentials)
    )
  }

  #start(configuration: mqtt5.Mqtt5ClientConfig): mqtt5.Mqtt5Client {
    const client = new mqtt5.Mqtt5Client(configuration)
    this.#traffic?.follow(client)
    client.on('attemptingConnect', () => {
      if (this.#status.state === 'waiting') this.#enter('connecting', undefined)
    })
    client.on('connectionSuccess', () => {
      this.#found = undefined
      this.#lookedAtMs = -Infinity
      this.#enter('connected', undefined)
      this.#failures.recovered('connected to AWS IoT Core')
      for (const listener of this.#listeners) listener()
    })
    client.on('connectionFailure', ({ error, connack }) => {
      this.#down(error, connack?.reasonCode)
    })
    client.on('disconnection', ({ error, disconnect }) => {
      if (!this.#isClosed) this.#down(error, disconnect?.reasonCode)
    })
    client.on('error', (error) => {
      this.#down(error, undefined)
    })
    client.start()
    return client
  }

  #configuration(
    { certificate, privateKey, roots }: ClientIdentity,
    proxy: http.HttpProxyOptions | undefined,
  ): mqtt5.Mqtt5ClientConfig {
    const { endpoint, clientId, keepAliveSeconds } = this.#options
    const { host, port } = endpointAddress(endpoint, defaultPort)
    const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromMemory(
      host,
      certificate,
      privateKey,
    )
    if (proxy !== undefined) builder.withHttpProxyOptions(proxy)
    return builder
      .withCertificateAuthority(roots)
      .withPort(port)
      .withConnectProperties({ clientId, keepAliveIntervalSeconds: keepAliveSeconds })
      .withSessionBehavior(mqtt5.ClientSessionBehavior.Clean)
      .withMinReconnectDelayMs(minReconnectMs)
      .withMaxReconnectDelayMs(maxReconnectMs)
      .withRetryJitterMode(mqtt5.RetryJitterType.Full)
      .withPingTimeoutMs(Math.min(30_000, keepAliveSeconds * 500))
      .withConnackTimeoutMs(20_000)
      .withAckTimeoutSeconds(30)
      .withOfflineQueueBehavior(mqtt5.ClientOperationQueueBehavior.FailAllOnDisconnect)
      .build()
  }

  #down(error: unknown, reasonCode: number | undefined): void {
    const { endpoint, clientId, clockOffsetMs, refusedHint } = this.#options
    const context: ConnectionContext = { endpoint, clientId, clockOffsetMs: clockOffsetMs(), refusedHint }
    const { error_name: errorName = 'UNKNOWN', message = '' } = Object(error) as CrtErrorShape // an ICrtError, or a plain one
    const fault = connectionError({ errorName, message, reasonCode }, context)
    this.#enter('down', this.#found ?? fault)
    if (isWorthALook({ errorName, message, reasonCode })) void this.#look(fault)
    else this.#failures.failed('no connection to AWS IoT Core', fault)
  }

  /**
   * Reports the error that has a name where there is one; it stays in the place of the CRT's until the next look. Without a
   * fault the first attempt is still being made.
   */
  async #look(fault: AgentError | undefined): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    if (monotonicMs() - this.#lookedAtMs > lookEveryMs) {
      this.#lookedAtMs = monotonicMs()
      this.#found = await lookAtConnection({ ...this.#options, defaultPort })
    }
    const isOld = this.#found === undefined && (await this.#hasProxyChanged().catch(() => false))
    this.#isLooking = false
    const error = this.#found ?? fault
    if (this.#isClosed || this.#status.state === 'connected') return
    if (error !== undefined) {
      this.#enter('down', error)
      this.#failures.failed('no connection to AWS IoT Core', error)
    }
    if (isOld) this.#options.onProxyChanged?.()
  }

  #enter(state: IotConnectionStatus['state'], error: AgentError | undefined): void {
    const sinceMs = state === this.#status.state ? this.#status.sinceMs : monotonicMs()
    this.#status = { state, sinceMs, error }
    if (state === 'connected' || state === 'down') this.#attempted.resolve(undefined)
  }
}

interface CrtErrorShape {
  readonly error_name?: string
  readonly message?: string
}
