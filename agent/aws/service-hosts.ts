import type { Config } from '../config/config-schema.ts'
import type { AwsClients } from './aws-clients.ts'

type UrlConfig = Pick<Config, 'device' | 'endpoints'>

/** Where the SDK itself would go, so that every rule of partitions, dual stack and overrides is its own. */
export interface ServiceUrls {
  readonly s3: (accessPoint: string) => Promise<URL>
  readonly secretsManager: () => Promise<URL>
  readonly logs: () => Promise<URL>
  readonly sts: () => Promise<URL>
}

export function serviceUrls({ s3, secretsManager, logs }: AwsClients, config: UrlConfig): ServiceUrls {
  return {
    s3: (accessPoint) => urlOf(s3, { Bucket: accessPoint, UseArnRegion: true }),
    secretsManager: () => urlOf(secretsManager),
    logs: () => urlOf(logs),
    sts: () => stsUrl(config),
  }
}

/** Loaded only where roles are chained or applications have theirs. */
async function stsUrl({ device, endpoints }: UrlConfig): Promise<URL> {
  const { STSClient } = await import('@aws-sdk/client-sts')
  const client = new STSClient({
    region: device.region,
    useDualstackEndpoint: endpoints.dualStack,
    useFipsEndpoint: endpoints.fips,
    ...(endpoints.sts === undefined ? {} : { endpoint: endpoints.sts }),
  })
  try {
    return await urlOf(client)
  } finally {
    client.destroy()
  }
}

/** What all clients have in common here; each types its parameters by itself. */
interface Resolving {
  readonly config: {
    readonly region: () => Promise<string>
    readonly useDualstackEndpoint: () => Promise<boolean>
    readonly useFipsEndpoint: () => Promise<boolean>
    readonly endpoint?: unknown
    readonly endpointProvider: unknown
  }
}

type EndpointProvider = (parameters: Readonly<Record<string, unknown>>) => { readonly url: URL }

async function urlOf({ config }: Resolving, own: Readonly<Record<string, unknown>> = {}): Promise<URL> {
  const endpointProvider = config.endpointProvider as EndpointProvider // typed for the parameters of one service
  const endpoint = await given(config.endpoint)
  return endpointProvider({
    ...own,
    Region: await config.region(),
    UseDualStack: await config.useDualstackEndpoint(),
    UseFIPS: await config.useFipsEndpoint(),
    ...(endpoint === undefined ? {} : { Endpoint: endpoint }),
  }).url
}

type EndpointParts = () => Promise<{ readonly protocol: string; readonly hostname: string; readonly port?: number }>

/** An endpoint that was configured comes back as a provider of its parts. */
async function given(endpoint: unknown): Promise<string | undefined> {
  if (typeof endpoint !== 'function') return undefined
  const { protocol, hostname, port } = await (endpoint as EndpointParts)() // "Endpoint" of @smithy/types
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`
}
