import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { buffer } from 'node:stream/consumers'

import type { KeyAndCertificate } from '../../cloud/certificates.ts'
import type { CloudFrame } from '../../cloud/cloud-frame.ts'

export interface CredentialsRequest {
  readonly identity?: KeyAndCertificate
  readonly thingName?: string
  readonly alias?: string
  readonly path?: string
  readonly method?: string
  /** The server name of the TLS handshake; empty sends none. */
  readonly servername?: string
}

export interface CredentialsAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
}

/** What a client needs to know about a cloud. */
export interface ReachableCloud extends Pick<CloudFrame, 'rootCaPem' | 'lookup'> {
  readonly endpoints: Pick<CloudFrame['endpoints'], 'credentials'>
}

/** Asks the credentials provider as an appliance does, on a connection of its own. */
export async function askCredentials(
  { endpoints, rootCaPem, lookup }: ReachableCloud,
  { identity, thingName, alias = 'panorama-appliance', path, method = 'GET', servername }: CredentialsRequest,
): Promise<CredentialsAnswer> {
  const [host, port] = endpoints.credentials.split(':')
  const agent = new Agent({ ca: rootCaPem, lookup, keepAlive: false })
  try {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    request({
      agent,
      host,
      port,
      method,
      path: path ?? `/role-aliases/${encodeURIComponent(alias)}/credentials`,
      headers: thingName === undefined ? {} : { 'x-amzn-iot-thingname': thingName },
      ...(identity === undefined ? {} : { cert: identity.certificatePem, key: identity.privateKeyPem }),
      ...(servername === undefined ? {} : { servername }),
      signal: AbortSignal.timeout(10_000),
    })
      .on('response', resolve)
      .on('error', reject)
      .end()
    const response = await promise
    const body = await buffer(response)
    return { status: response.statusCode ?? 0, headers: response.headers, body: body.toString('utf8') }
  } finally {
    agent.destroy()
  }
}

export interface DeviceCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly expiration: Date
}

/** Credentials for the SDK's clients. Throws when the provider refuses. */
export async function getCredentials(cloud: ReachableCloud, options: CredentialsRequest): Promise<DeviceCredentials> {
  const { status, body } = await askCredentials(cloud, options)
  if (status !== 200) throw new Error(`the credentials provider answered ${status}: ${body}`)
  const { credentials } = JSON.parse(body) as { credentials: Record<keyof DeviceCredentials, string> }
  return { ...credentials, expiration: new Date(credentials.expiration) }
}
