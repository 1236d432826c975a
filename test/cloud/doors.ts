import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'

import { issueServerChain, type Authority } from './certificates.ts'
import type { CloudClock } from './cloud-clock.ts'
import type { Faults } from './faults.ts'
import { FrontDoor, type FrontDoorOptions } from './front-door.ts'
import { Listener, type ListenerOptions } from './listener.ts'
import type { RequestLog } from './request-log.ts'
import { secondDomain } from './second-domain.ts'

export interface DoorsOptions {
  readonly clock: CloudClock
  readonly root: Authority
  readonly faults: Faults
  readonly requests: RequestLog
  readonly credentials: Door
  readonly services: Door
  /** Where the servers listen. Default 127.0.0.1. */
  readonly address?: ListenerOptions['address']
}

export interface Door {
  /** 0: any free port. */
  readonly port: number
  readonly route: FrontDoorOptions['route']
}

/** A server of the cloud for a protocol that is not HTTP. Client certificates are asked for, and not looked at. */
export interface PlainDoor {
  /** 0: any free port. */
  readonly port: number
  /** What clients may ask for by ALPN; one that asks for something else is refused. */
  readonly protocols: readonly string[]
  readonly onConnection: (socket: TLSSocket) => void
}

/** The HTTPS servers of the cloud: the credentials provider's, with client certificates, and the services'. */
export interface Doors extends AsyncDisposable {
  readonly credentialsPort: number
  readonly servicesPort: number
  /** Opens one more server. It shares the fate of the others, and is closed with them. */
  readonly open: (door: PlainDoor) => Promise<Listener>
  /** Does something to all servers. */
  readonly each: (act: (listener: Listener) => Promise<void> | void) => Promise<void>
  /** The addresses that connections have come from. */
  readonly peers: () => ReadonlySet<string>
  /** Gives all servers certificates for the time that the cloud has now. */
  readonly renewCertificates: () => Promise<void>
}

const serverNames = [
  'localhost',
  'logs.localhost',
  'secretsmanager.localhost',
  'sts.localhost',
  'credentials.localhost',
  's3.localhost',
  '*.s3.localhost',
  '127.0.0.1',
  '::1',
  `*.${secondDomain}`,
  `*.s3.${secondDomain}`,
]
const credentialsNames = ['localhost', 'credentials.localhost', `credentials.${secondDomain}`]
const mqttNames = ['localhost', `mqtt.${secondDomain}`]

/** Disposing of the doors throws an AggregateError when a service had a defect, once everything is closed. */
export async function openDoors(options: DoorsOptions): Promise<Doors> {
  const issue = () => issueServerChain(options.root, { names: serverNames, nowMs: options.clock.now() })
  const certificate = await issue()
  await using resources = new AsyncDisposableStack()
  const defects: unknown[] = []
  resources.defer(() => {
    if (defects.length > 0) throw new AggregateError(defects, 'the local cloud has defects')
  })
  const open = async (door: Door, listen: Partial<ListenerOptions>): Promise<Listener> =>
    openDoor({
      door,
      options,
      resources,
      listen: { certificate, address: options.address, ...listen },
      onDefect: (error) => defects.push(error),
    })
  const credentials = await open(options.credentials, { requestClientCertificate: true, serverNames: credentialsNames })
  const services = await open(options.services, {})
  const listeners = new Set([credentials, services])
  const each: Doors['each'] = async (act) => {
    await Promise.all([...listeners].map(async (listener) => act(listener)))
  }
  const owned = resources.move()
  return {
    credentialsPort: credentials.port,
    servicesPort: services.port,
    open: async (door) => {
      const listener = owned.use(await openPlainDoor(door, { certificate: await issue(), address: options.address }))
      listeners.add(listener)
      return listener
    },
    each,
    peers: () => new Set([...listeners].flatMap((listener) => [...listener.peers])),
    renewCertificates: async () => {
      const renewed = await issue()
      await each((listener) => {
        listener.setCertificate(renewed)
      })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function openDoor({
  door: { port, route },
  options: { clock, faults, requests },
  resources,
  listen,
  onDefect,
}: {
  readonly door: Door
  readonly options: DoorsOptions
  readonly resources: AsyncDisposableStack
  readonly listen: Partial<ListenerOptions> & Pick<ListenerOptions, 'certificate'>
  readonly onDefect: (error: unknown) => void
}): Promise<Listener> {
  const connections = (): Listener => listener
  const door = resources.use(new FrontDoor({ route, now: clock.now, faults, requests, connections, onDefect }))
  const listener = await Listener.open({
    requestClientCertificate: false,
    ...listen,
    port,
    createServer: (tls) =>
      createHttpsServer({ ...tls, keepAliveTimeout: 60_000, requestTimeout: 60_000 }, door.handler),
  })
  return resources.use(listener)
}

async function openPlainDoor(
  { port, protocols, onConnection }: PlainDoor,
  { certificate, address }: Pick<ListenerOptions, 'certificate' | 'address'>,
): Promise<Listener> {
  return Listener.open({
    certificate,
    requestClientCertificate: true,
    ...(address === '::1' ? {} : { serverNames: mqttNames }), // an address is no name for SNI
    address,
    port,
    createServer: (tls) => createTlsServer({ ...tls, ALPNProtocols: [...protocols] }, onConnection),
  })
}
