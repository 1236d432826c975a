import type { LookupAddress } from 'node:dns'
import { access, constants } from 'node:fs/promises'
import type { LookupFunction } from 'node:net'

import { createAwsCall, type AwsCall } from '../../aws/aws-call.ts'
import { createAwsClients, type AwsClients } from '../../aws/aws-clients.ts'
import { createChainedCredentialSource } from '../../aws/chained-credential-source.ts'
import { createCloudWatchLogDestination } from '../../aws/cloudwatch-log-destination.ts'
import { CaptivePortalError } from '../../aws/captive-portal.ts'
import { createInspectTls } from '../../aws/inspect-tls.ts'
import { createIotCredentialSource } from '../../aws/iot-credential-source.ts'
import type { IotConnectionOptions } from '../../aws/iot-connection.ts'
import { loopbackLookup } from '../../aws/loopback-lookup.ts'
import { createPermissionProbes } from '../../aws/permission-probes.ts'
import { ObservingRequestHandler } from '../../aws/request-handler.ts'
import { sdkCredentials } from '../../aws/sdk-credentials.ts'
import { serviceUrls, type ServiceUrls } from '../../aws/service-hosts.ts'
import { releasedAtMs } from '../../build-info.ts'
import type { Config } from '../../config/config-schema.ts'
import type { CredentialSource, FetchedCredentials } from '../../credentials/credential-source.ts'
import { ServerClock } from '../../credentials/server-clock.ts'
import type { ResolvedAddress } from '../../doctor/dns-check.ts'
import { UnseenError } from '../../doctor/doctor-check.ts'
import { isOfAws, type Endpoint } from '../../doctor/endpoint.ts'
import type { Permissions } from '../../doctor/permission-check.ts'
import type { InspectTls, TlsInspection } from '../../doctor/tls-inspection.ts'
import type { TopicTrial } from '../../doctor/topic-check.ts'
import { readRootCa, type Identity } from '../../identity/identity.ts'
import { errorCode } from '../../lib/errors.ts'
import { createLog, type Log } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { loadMqttClient } from '../control/mqtt-client.ts'
import { shownProxy } from '../../network/proxy-settings.ts'
import type { WayToCloud } from '../session/way-to-cloud.ts'

export interface DoctorCloudOptions {
  readonly config: Config
  readonly identity: () => Promise<Identity>
  readonly way: WayToCloud
  readonly lookup?: LookupFunction | undefined
}

/** Everything that asks the cloud, with connections, credentials and a clock of its own: nothing of a running agent is used. */
export interface DoctorCloud extends Disposable {
  readonly clock: ServerClock
  readonly inspectTls: InspectTls
  readonly resolve: (host: string) => Promise<readonly ResolvedAddress[]>
  readonly permissions: Permissions
  /** Those that the configuration needs, each host and port once. */
  readonly endpoints: () => Promise<readonly Endpoint[]>
  readonly s3Endpoint: (accessPoint: string) => Promise<Endpoint>
  readonly connectMqtt: (client: MqttClient, signal: AbortSignal) => Promise<void>
  /** Connects as the thing, and tries what jobs and shadow need, and the rotation by a template. */
  readonly tryTopics: (
    client: MqttClient,
    options: { readonly rotation: string | undefined; readonly signal: AbortSignal },
  ) => Promise<readonly TopicTrial[]>
  /** By which proxy an endpoint is reached, if by any: host and port. */
  readonly proxyOf: (endpoint: Endpoint) => string | undefined
}

export type MqttClient = Pick<IotConnectionOptions, 'endpoint' | 'clientId' | 'refusedHint'>

const defaultPorts = { https: 443, mqtt: 8883 } as const

export function doctorCloud({ config, identity, way, lookup = loopbackLookup }: DoctorCloudOptions): DoctorCloud {
  const log = createLog({ level: 'error', sinks: [] })
  const clock = new ServerClock({ releasedAtMs, log })
  const { device, endpoints, identity: files } = config
  const { dialer, serviceTrust } = way
  const requestHandler = new ObservingRequestHandler({
    trust: serviceTrust,
    onDate: (sample) => clock.observe(sample),
    dialer,
  })
  const context = { config, identity, dialer, clock, requestHandler, log }
  const credentials = heldCredentials(context)
  const clients = createAwsClients({
    region: device.region,
    endpoints,
    credentials: asSdk(credentials),
    requestHandler,
    clockOffsetMs: () => clock.offsetMs(),
  })
  return {
    clock,
    inspectTls: async (endpoint, signal) => {
      const own = await identity().catch(() => undefined)
      const ownRoots = await ownRootsFor(endpoint, files.rootCa)
      const onDate = clock.observe.bind(clock)
      const found = await createInspectTls({ identity: own, ownRoots, onDate, dialer })(endpoint, signal)
      await namePortal(dialer, endpoint, found)
      return found
    },
    resolve: (host) => resolveAll(host, lookup),
    permissions: permissionsOf(context, clients, credentials),
    endpoints: () => neededEndpoints(config, clients),
    s3Endpoint: (accessPoint) => s3Endpoint(serviceUrls(clients, config), accessPoint),
    connectMqtt: async (client, signal) => {
      const { tryConnection } = await loadMqttClient(() => import('../../aws/try-connection.ts'))
      await tryConnection(mqttOptions(client, { ...context, serviceTrust }), () => Promise.resolve(), signal)
    },
    tryTopics: async (client, { rotation, signal }) => {
      const { tryConnection } = await loadMqttClient(() => import('../../aws/try-connection.ts'))
      const { tryTopics } = await loadMqttClient(() => import('../../aws/topic-probes.ts'))
      const options = mqttOptions(client, { ...context, serviceTrust })
      return await tryConnection(
        options,
        async (connected) => await tryTopics({ client: connected, thingName: client.clientId, rotation }, signal),
        signal,
      )
    },
    proxyOf: (endpoint) => {
      const proxy = dialer.proxyFor(endpoint)
      return proxy === undefined ? undefined : shownProxy(proxy)
    },
    [Symbol.dispose]() {
      clients[Symbol.dispose]()
    },
  }
}

function mqttOptions(
  client: MqttClient,
  { config, identity, clock, dialer, log, serviceTrust }: CloudContext & Pick<WayToCloud, 'serviceTrust'>,
): IotConnectionOptions {
  const { keepAliveSeconds } = config.jobs
  const clockOffsetMs = (): number => clock.offsetMs()
  return { ...client, keepAliveSeconds, loadIdentity: identity, clockOffsetMs, dialer, serviceTrust, log }
}

/** Throws a CaptivePortalError where one answers in the place of an endpoint. */
async function namePortal(dialer: WayToCloud['dialer'], endpoint: Endpoint, found: TlsInspection): Promise<void> {
  const isRight = found.kind === 'answered' && found.namesHost && Object.values(found.vouchers).some(Boolean)
  if (isRight || dialer.proxyFor(endpoint) !== undefined) return
  const sign = await dialer.lookForPortal(endpoint.host)
  if (sign !== undefined) throw new CaptivePortalError(endpoint.host, sign)
}

/** Without the roots of the appliance nobody but Amazon can be told from somebody in the middle. */
async function ownRootsFor({ host, trustsRootCaOnly }: Endpoint, path: string): Promise<string> {
  const code = await access(path, constants.R_OK).then(
    () => undefined,
    (error: unknown) => errorCode(error),
  )
  if (code === 'EACCES' && (trustsRootCaOnly || !isOfAws(host))) throw new UnseenError(path)
  return await readRootCa(path)
}

interface CloudContext {
  readonly config: Config
  readonly identity: () => Promise<Identity>
  readonly dialer: WayToCloud['dialer']
  readonly clock: ServerClock
  readonly requestHandler: ObservingRequestHandler
  readonly log: Log
}

/** Credentials that are fetched once, when they are first needed, and how long they are valid from then. */
type HeldCredentials = (signal: AbortSignal) => Promise<FetchedCredentials & { readonly fetchedMs: number }>

function heldCredentials(context: CloudContext): HeldCredentials {
  const { config, clock, requestHandler } = context
  const base = held(aliasSource(context, config.role.alias))
  const { assume } = config.role
  if (assume === undefined) return base
  return held(
    createChainedCredentialSource({
      master: asSdk(base),
      call: plainCall(requestHandler),
      roleArn: assume.roleArn,
      thingName: config.device.thingName,
      region: config.device.region,
      endpoints: config.endpoints,
      requestHandler,
      clock,
    }),
  )
}

function aliasSource({ config, identity, clock, dialer }: CloudContext, roleAlias: string): CredentialSource {
  return createIotCredentialSource({
    endpoint: config.endpoints.credentials,
    roleAlias,
    thingName: config.device.thingName,
    loadIdentity: identity,
    cloudNow: () => clock.now(),
    onDate: (sample) => clock.observe(sample),
    dialer,
  })
}

function held(source: CredentialSource): HeldCredentials {
  let kept: ReturnType<HeldCredentials> | undefined
  const fetch: HeldCredentials = async (signal) => ({ ...(await source.fetch(signal)), fetchedMs: monotonicMs() })
  return (signal) => {
    kept ??= fetch(signal)
    return kept
  }
}

function asSdk(credentials: HeldCredentials): ReturnType<typeof sdkCredentials> {
  const never = new AbortController().signal
  return sdkCredentials(async () => {
    const { fetchedMs, ...fetched } = await credentials(never)
    return { ...fetched, lifetimeMs: fetched.lifetimeMs - (monotonicMs() - fetchedMs) }
  })
}

/** Credentials that are not taken are a finding; nobody gets others. */
function plainCall(requestHandler: ObservingRequestHandler): AwsCall {
  return createAwsCall({
    credentials: { currentKeyId: () => undefined, invalidate: () => undefined },
    onConnectionFailure: () => {
      requestHandler.closeIdle()
    },
  })
}

function permissionsOf(context: CloudContext, clients: AwsClients, credentials: HeldCredentials): Permissions {
  const { config, clock, requestHandler, log } = context
  const call = plainCall(requestHandler)
  const { compression } = config.logs
  return createPermissionProbes({
    clients,
    call,
    destination: createCloudWatchLogDestination({ client: clients.logs, call, compression, log }),
    cloudNow: () => clock.now(),
    credentials: async (signal) => validUntil(clock, await credentials(signal)),
    ofApplication: async (roleAlias, signal) => validUntil(clock, await aliasSource(context, roleAlias).fetch(signal)),
  })
}

function validUntil(clock: ServerClock, { lifetimeMs }: FetchedCredentials): string {
  return new Date(clock.now() + lifetimeMs).toISOString()
}

async function neededEndpoints(config: Config, clients: AwsClients): Promise<readonly Endpoint[]> {
  const { endpoints, cameras, artifacts, role, applications } = config
  const urls = serviceUrls(clients, config)
  const accessPoints = [...new Set(artifacts.map(({ accessPoint }) => accessPoint))]
  const s3 = await Promise.all(accessPoints.map((accessPoint) => s3Endpoint(urls, accessPoint)))
  return [
    iotEndpoint('credentials', endpoints.credentials),
    ...(endpoints.mqtt === undefined ? [] : [iotEndpoint('mqtt', endpoints.mqtt)]),
    ...(s3.length === 1 ? s3.map((endpoint) => ({ ...endpoint, name: 'S3' })) : s3),
    ...(cameras.streams.length === 0 ? [] : [serviceEndpoint('Secrets Manager', await urls.secretsManager())]),
    serviceEndpoint('Logs', await urls.logs()),
    ...(role.assume === undefined && applications.length === 0 ? [] : [serviceEndpoint('STS', await urls.sts())]),
  ]
}

async function s3Endpoint(urls: ServiceUrls, accessPoint: string): Promise<Endpoint> {
  const name = accessPoint.split(/[:/]/).at(-1) ?? ''
  return { ...serviceEndpoint('S3', await urls.s3(accessPoint)), key: `s3.${name}`, name: `S3 ${name}` }
}

function iotEndpoint(key: 'credentials' | 'mqtt', hostPort: string): Endpoint {
  const isMqtt = key === 'mqtt'
  const url = new URL(`https://${hostPort}`)
  const port = /:\d+$/.test(hostPort) ? Number(hostPort.split(':').at(-1)) : defaultPorts[isMqtt ? 'mqtt' : 'https']
  return {
    key,
    name: isMqtt ? 'MQTT' : key,
    host: bare(url.hostname),
    port,
    isTls: true,
    trustsRootCaOnly: true,
    isMqtt,
  }
}

function serviceEndpoint(name: keyof typeof serviceKeys, url: URL): Endpoint {
  const isTls = url.protocol === 'https:'
  const port = url.port === '' ? (isTls ? defaultPorts.https : 80) : Number(url.port)
  const key = serviceKeys[name]
  return { key, name, host: bare(url.hostname), port, isTls, trustsRootCaOnly: false, isMqtt: false }
}

/** As the configuration names their endpoints. */
const serviceKeys = { S3: 's3', 'Secrets Manager': 'secretsManager', Logs: 'logs', STS: 'sts' } as const

/** An IPv6 address without its brackets. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}

async function resolveAll(host: string, lookup: LookupFunction): Promise<readonly ResolvedAddress[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly LookupAddress[]>()
  lookup(host, { all: true }, (error, addresses) => {
    if (error !== null) reject(error)
    else resolve(Array.isArray(addresses) ? addresses : [{ address: addresses, family: 4 }])
  })
  return await promise
}
