import type { LookupFunction } from 'node:net'

import { Appliances } from './appliances.ts'
import { createRoot } from './certificates.ts'
import type { CloudClock } from './cloud-clock.ts'
import { createLookup } from './cloud-lookup.ts'
import type { CloudService } from './contract.ts'
import {
  createCredentialsProvider,
  credentialsAction,
  credentialsService,
  formatCredentialsFault,
  type TrustSource,
} from './credentials-provider.ts'
import { openDoors, type Door, type Doors, type DoorsOptions } from './doors.ts'
import { Faults } from './faults.ts'
import type { PolicyDocument } from './iam/policy-document.ts'
import { Quotas } from './quotas.ts'
import { RequestLog } from './request-log.ts'
import { RoleAliases } from './role-aliases.ts'
import { Roles } from './roles.ts'
import { Sessions } from './sessions.ts'
import { routeSigned } from './signed-target.ts'
import { createStsService } from './sts-service.ts'

interface CloudEndpoints {
  /** host:port of the IoT credentials provider, as `endpoints.credentials` of the configuration wants it. */
  readonly credentials: string
  readonly s3: string
  readonly secretsManager: string
  readonly logs: string
  readonly sts: string
}

export interface FrameOptions {
  readonly account: string
  readonly region: string
  readonly clock: CloudClock
  /** Signed services besides STS. */
  readonly services: readonly CloudService[]
  /** The IoT policy of a new appliance. */
  readonly defaultIotPolicy: (alias: string | undefined) => Promise<PolicyDocument>
  /** Default 0: any free port. */
  readonly ports?: { readonly credentials?: number; readonly services?: number }
  readonly address?: DoorsOptions['address']
  /** How many requests are remembered. Default 100,000. */
  readonly maxRecords?: number | undefined
}

/** What is the same whatever services the cloud has. Disposing of it closes everything and reports its defects. */
export interface CloudFrame extends AsyncDisposable {
  readonly account: string
  readonly region: string
  readonly endpoints: CloudEndpoints
  readonly rootCaPem: string
  /** The cloud's time in milliseconds since 1970. */
  readonly now: () => number
  /** Sets how far the cloud is ahead of this machine, and issues server certificates for the new time. */
  readonly setTimeOffset: (offsetMs: number) => Promise<void>
  readonly appliances: Appliances
  readonly roleAliases: RoleAliases
  readonly roles: Roles
  readonly sessions: Sessions
  readonly requests: RequestLog
  readonly faults: Faults
  readonly quotas: Quotas
  /** For HTTP agents of clients: resolves `*.localhost`, and fails while a dns fault is on. */
  readonly lookup: LookupFunction
  /** What trust policies see of aws:SourceAccount and aws:SourceArn; `none` until set. */
  readonly setTrustSource: (source: TrustSource) => void
  /** Opens one more server, for a protocol that is not HTTP. */
  readonly openDoor: Doors['open']
  /** The addresses that connections have come from. */
  readonly peers: Doors['peers']
  /** Refuses connections and destroys those that are open, until `reachable`. */
  readonly unreachable: () => Promise<void>
  /** Accepts connections and answers nothing, until `reachable`. */
  readonly blackhole: () => Promise<void>
  /** Answers again, on the same ports. */
  readonly reachable: () => Promise<void>
}

/** Starts the servers with an empty account: no role, no alias, no appliance. */
export async function startFrame(options: FrameOptions): Promise<CloudFrame> {
  const { account, region, clock, ports = {}, address } = options
  const { now } = clock
  const root = await createRoot('CN=Local Cloud Root CA 1, O=Local Cloud, C=US', now())
  const authority = await createRoot('OU=Local Cloud IoT, O=Local Cloud, L=Seattle, ST=Washington, C=US', now())
  const roles = new Roles(account, now)
  const state = {
    roles,
    roleAliases: new RoleAliases({ account, region, now }),
    sessions: new Sessions({ account, now, roles }),
    appliances: new Appliances({ account, region, now, authority, defaultPolicy: options.defaultIotPolicy }),
    requests: new RequestLog(options.maxRecords),
    faults: new Faults(),
    quotas: new Quotas(),
  }
  const trust: { source: TrustSource } = { source: 'none' }
  const doors = await openDoors({
    clock,
    root,
    ...state,
    address,
    credentials: { port: ports.credentials ?? 0, route: credentialsRoute(options, state, () => trust.source) },
    services: { port: ports.services ?? 0, route: signedRoute(options, state) },
  })
  return {
    account,
    region,
    now,
    ...state,
    endpoints: endpointsOf(doors),
    rootCaPem: `${root.certificate.toString('pem')}\n`,
    lookup: createLookup(state.faults),
    setTimeOffset: async (offsetMs) => {
      clock.setOffset(offsetMs)
      await doors.renewCertificates()
    },
    setTrustSource: (source) => {
      trust.source = source
    },
    openDoor: doors.open,
    peers: doors.peers,
    unreachable: () => doors.each((listener) => listener.unreachable()),
    blackhole: () => doors.each((listener) => listener.blackhole()),
    reachable: () => doors.each((listener) => listener.reachable()),
    [Symbol.asyncDispose]: () => doors[Symbol.asyncDispose](),
  }
}

type State = Pick<CloudFrame, 'roles' | 'roleAliases' | 'sessions' | 'appliances' | 'requests' | 'faults' | 'quotas'>

function credentialsRoute(
  { account, region, clock }: FrameOptions,
  state: State,
  trustSource: () => TrustSource,
): Door['route'] {
  const provide = createCredentialsProvider({ account, region, now: clock.now, ...state, trustSource })
  return () => ({
    service: credentialsService,
    action: credentialsAction,
    answer: (request, tell) => {
      tell({ thingName: request.headers['x-amzn-iot-thingname'] })
      return provide(request)
    },
    formatFault: formatCredentialsFault,
  })
}

function signedRoute({ account, region, clock, services }: FrameOptions, state: State): Door['route'] {
  const signed = { account, region, now: clock.now, ...state, services: [...services, createStsService(state)] }
  return (request) => routeSigned(request, signed)
}

function endpointsOf({ credentialsPort, servicesPort }: Doors): CloudEndpoints {
  return {
    credentials: `localhost:${credentialsPort}`,
    s3: `https://s3.localhost:${servicesPort}`,
    secretsManager: `https://secretsmanager.localhost:${servicesPort}`,
    logs: `https://logs.localhost:${servicesPort}`,
    sts: `https://sts.localhost:${servicesPort}`,
  }
}
