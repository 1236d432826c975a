import { join } from 'node:path'

import { createAwsCall, type AwsCall } from '../../aws/aws-call.ts'
import { createAwsClients, type AwsClients } from '../../aws/aws-clients.ts'
import { createCallerRole } from '../../aws/caller-role.ts'
import { createChainedCredentialSource } from '../../aws/chained-credential-source.ts'
import type { Dialer } from '../../aws/dialer.ts'
import { createIotCredentialSource } from '../../aws/iot-credential-source.ts'
import { ObservingRequestHandler } from '../../aws/request-handler.ts'
import { sdkCredentials, type SdkCredentials } from '../../aws/sdk-credentials.ts'
import { SealedCameras } from '../../cameras/sealed-cameras.ts'
import type { Config } from '../../config/config-schema.ts'
import { ApplicationRoles } from '../../credentials/application-roles.ts'
import type { CredentialSource } from '../../credentials/credential-source.ts'
import { RoleCredentials } from '../../credentials/role-credentials.ts'
import { RoleGuard } from '../../credentials/role-guard.ts'
import type { ServerClock } from '../../credentials/server-clock.ts'
import { IdentityKeeper } from '../../identity/identity-keeper.ts'
import type { Log } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import type { Worker } from '../../lib/worker.ts'
import type { ProxyEnvironment } from '../../network/proxy-settings.ts'
import type { ClockStep } from '../../root-requests/clock-step.ts'
import type { RootRequests } from '../../root-requests/root-requests.ts'
import { UpdateReports } from '../../root-requests/update-reports.ts'
import { createSessionClock } from './session-clock.ts'
import { createSessionNetwork, type SessionNetwork } from './session-network.ts'
import type { WayOverrides } from './way-to-cloud.ts'

/** What tests put in the place of the real thing. */
export interface SessionOverrides extends WayOverrides {
  /** The time before which no server is believed. */
  readonly releasedAtMs?: number
  readonly minCredentialIntervalMs?: number
  /** Where root tells of updates. */
  readonly updateFolder?: string
}

export interface SessionOptions {
  readonly config: Config
  readonly log: Log
  readonly overrides?: SessionOverrides
  /** Where systemd has put the credentials of the unit. */
  readonly credentialsFolder?: string | undefined
  /** Of proxies, where the configuration names none. */
  readonly proxyEnvironment?: ProxyEnvironment | undefined
}

/**
 * Everything that outlives a change of the three workers' configuration: identity, clock, credentials, connections.
 * Its workers run under `workers`, those of the applications' roles by themselves; disposing ends the latter and closes
 * its connections.
 */
export interface Session extends AsyncDisposable {
  readonly clock: ServerClock
  readonly clockStep: Pick<ClockStep, 'status'>
  /** The only one: another would take this one's requests for left over. */
  readonly rootRequests: RootRequests
  readonly updates: UpdateReports
  readonly identity: IdentityKeeper
  readonly sealedCameras: SealedCameras
  /** The base role's first, then the chained role's if there is one. */
  readonly credentials: readonly RoleCredentials[]
  readonly applicationRoles: ApplicationRoles
  readonly network: SessionNetwork
  readonly clients: AwsClients
  readonly call: AwsCall
  readonly workers: readonly Worker[]
}

export async function createSession(options: SessionOptions): Promise<Session> {
  const { config, log, overrides = {} } = options
  const { identity: seed, paths, device, endpoints } = config
  const { releasedAtMs } = overrides
  const { workers: clockWorkers, ...time } = await createSessionClock({ paths, log, releasedAtMs })
  const { clock } = time
  const identity = new IdentityKeeper({
    seed,
    liveFolder: join(paths.state, 'identity', 'current'),
    log: log.child({ worker: 'identity' }),
    cloudNow: () => clock.now(),
  })
  const network = await createSessionNetwork({ ...options, clock })
  const requestHandler = new ObservingRequestHandler({
    trust: network.serviceTrust,
    onDate: (sample) => clock.observe(sample),
    dialer: network.dialer,
    ...(overrides.lookup === undefined ? {} : { lookup: overrides.lookup }),
  })
  const context = { config, log, overrides, clock, identity, dialer: network.dialer, requestHandler }
  const credentials = createCredentials(context)
  const inUse = credentials[credentials.length - 1] ?? credentials[0]
  const clients = createAwsClients({
    region: device.region,
    endpoints,
    credentials: asSdkCredentials(inUse),
    requestHandler,
    clockOffsetMs: () => clock.offsetMs(),
  })
  const applicationRoles = createApplicationRoles(context, credentials)
  return {
    ...time,
    updates: new UpdateReports(overrides.updateFolder),
    identity,
    sealedCameras: sealedCameras(options),
    credentials,
    applicationRoles,
    network,
    clients,
    call: callWith(inUse, requestHandler),
    workers: [...credentials.map(({ worker }) => worker), ...clockWorkers, network.traffic.worker],
    async [Symbol.asyncDispose]() {
      await applicationRoles[Symbol.asyncDispose]()
      clients[Symbol.dispose]()
      await network[Symbol.asyncDispose]()
    },
  }
}

function sealedCameras({ config: { paths, device }, log, credentialsFolder }: SessionOptions): SealedCameras {
  return new SealedCameras({
    folder: join(paths.state, 'cameras'),
    thingName: device.thingName,
    keySources: { credentialsFolder, identityFolder: join(paths.state, 'identity') },
    log: log.child({ worker: 'cameras' }),
  })
}

interface CredentialsContext {
  readonly config: Config
  readonly log: Log
  readonly overrides: SessionOverrides
  readonly clock: ServerClock
  readonly identity: IdentityKeeper
  readonly dialer: Dialer
  readonly requestHandler: ObservingRequestHandler
}

function createCredentials(context: CredentialsContext): readonly [RoleCredentials, ...RoleCredentials[]] {
  const { config, clock } = context
  const base = roleCredentials('credentials', context, aliasSource(context, config.role.alias))
  const { assume } = config.role
  if (assume === undefined) return [base]
  const source = createChainedCredentialSource({
    master: asSdkCredentials(base),
    call: callWith(base, context.requestHandler),
    roleArn: assume.roleArn,
    thingName: config.device.thingName,
    region: config.device.region,
    endpoints: config.endpoints,
    requestHandler: context.requestHandler,
    clock: { now: () => clock.now(), offsetMs: () => clock.offsetMs() },
  })
  return [base, roleCredentials('chained-credentials', context, source)]
}

function createApplicationRoles(
  context: CredentialsContext,
  ofAppliance: readonly RoleCredentials[],
): ApplicationRoles {
  const { config, clock, requestHandler } = context
  const guard = new RoleGuard({
    lookUp: createCallerRole({
      region: config.device.region,
      endpoints: config.endpoints,
      requestHandler,
      clockOffsetMs: () => clock.offsetMs(),
    }),
    ofAppliance: ofAppliance.map((each) => async () => await each.get()),
  })
  return new ApplicationRoles(({ name, roleAlias }) =>
    roleCredentials(`applications:${name}`, context, guard.guard(aliasSource(context, roleAlias), roleAlias)),
  )
}

function aliasSource({ config, clock, identity, dialer }: CredentialsContext, roleAlias: string): CredentialSource {
  return createIotCredentialSource({
    endpoint: config.endpoints.credentials,
    roleAlias,
    thingName: config.device.thingName,
    loadIdentity: async () => await identity.load(),
    cloudNow: () => clock.now(),
    onDate: (sample) => clock.observe(sample),
    dialer,
  })
}

function roleCredentials(
  name: string,
  { log, overrides }: CredentialsContext,
  source: CredentialSource,
): RoleCredentials {
  const { minCredentialIntervalMs: minIntervalMs } = overrides
  return new RoleCredentials({
    name,
    source,
    log: log.child({ worker: name }),
    ...(minIntervalMs === undefined ? {} : { minIntervalMs }),
  })
}

function asSdkCredentials(credentials: RoleCredentials): SdkCredentials {
  return sdkCredentials(async () => {
    const held = await credentials.get()
    return { ...held, lifetimeMs: held.expiresMs - monotonicMs() }
  })
}

function callWith(credentials: RoleCredentials, requestHandler: ObservingRequestHandler): AwsCall {
  return createAwsCall({
    credentials: {
      currentKeyId: () => credentials.currentKeyId(),
      invalidate: (keyId) => {
        credentials.invalidate(keyId)
      },
    },
    onConnectionFailure: () => {
      requestHandler.closeIdle()
    },
  })
}
