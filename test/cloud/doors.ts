import { issueServerChain, type Authority } from './certificates.ts'
import type { CloudClock } from './cloud-clock.ts'
import type { Faults } from './faults.ts'
import { FrontDoor, type FrontDoorOptions } from './front-door.ts'
import { Listener, type ListenerOptions } from './listener.ts'
import type { RequestLog } from './request-log.ts'

export interface DoorsOptions {
  readonly clock: CloudClock
  readonly root: Authority
  readonly faults: Faults
  readonly requests: RequestLog
  readonly credentials: Door
  readonly services: Door
}

export interface Door {
  /** 0: any free port. */
  readonly port: number
  readonly route: FrontDoorOptions['route']
}

/** The two HTTPS servers of the cloud: the credentials provider's, with client certificates, and the services'. */
export interface Doors extends AsyncDisposable {
  readonly credentialsPort: number
  readonly servicesPort: number
  /** Does something to both servers. */
  readonly each: (act: (listener: Listener) => Promise<void> | void) => Promise<void>
  /** Gives both servers certificates for the time that the cloud has now. */
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
]
const credentialsNames = ['localhost', 'credentials.localhost']

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
    openDoor({ door, options, resources, listen: { certificate, ...listen }, onDefect: (error) => defects.push(error) })
  const credentials = await open(options.credentials, { requestClientCertificate: true, serverNames: credentialsNames })
  const services = await open(options.services, {})
  const each: Doors['each'] = async (act) => {
    await Promise.all([credentials, services].map(async (listener) => act(listener)))
  }
  const owned = resources.move()
  return {
    credentialsPort: credentials.port,
    servicesPort: services.port,
    each,
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
  const listener = await Listener.open({ requestClientCertificate: false, ...listen, port, handler: door.handler })
  return resources.use(listener)
}
