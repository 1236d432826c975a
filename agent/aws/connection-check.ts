import { AgentError } from '../lib/errors.ts'
import type { Dialer } from './dialer.ts'
import { endpointAddress } from './endpoint-address.ts'
import type { ClientIdentity } from './iot-credential-source.ts'
import { outdatedProxy } from './proxy-error.ts'
import { createTrust } from './trust.ts'

export interface ConnectionCheckOptions {
  readonly dialer: Dialer
  /** Host or host:port of the Data-ATS endpoint. */
  readonly endpoint: string
  readonly defaultPort: number
  readonly loadIdentity: () => Promise<ClientIdentity>
}

const withinMs = 8_000

/**
 * Looks why there is no MQTT connection: goes the same way up to the end of the TLS handshake, with the device's certificate,
 * and says no word. The CRT has only numbers for what a proxy or a middlebox does. Answers the named error, or undefined where all
 * that went well, or failed without a name of ours. Never rejects.
 */
export async function lookAtConnection(options: ConnectionCheckOptions): Promise<AgentError | undefined> {
  const { dialer, endpoint, defaultPort, loadIdentity } = options
  try {
    const { certificate, privateKey, roots } = await loadIdentity()
    const target = endpointAddress(endpoint, defaultPort)
    const { socket } = await dialer.secure({
      ...target,
      trust: createTrust({ roots: [roots], certificate, privateKey }),
      protocols: ['x-amzn-mqtt-ca'],
      withinMs,
    })
    socket.destroy()
    const proxy = dialer.proxyFor(target)
    const { outdatedProxy: dates } = dialer
    return proxy === undefined || dates === undefined ? undefined : outdatedProxy(dates, { proxy })
  } catch (error) {
    return error instanceof AgentError ? error : undefined
  }
}
