import { AgentError } from '../lib/errors.ts'
import type { Dialer } from './dialer.ts'
import { endpointAddress } from './endpoint-address.ts'
import { outsideDates, type TlsFailedError } from './iot-connection-errors.ts'
import type { ClientIdentity } from './iot-credential-source.ts'
import { outdatedProxy } from './proxy-error.ts'
import { createTrust } from './trust.ts'

export interface ConnectionCheckOptions {
  readonly dialer: Pick<Dialer, 'secure' | 'proxyFor' | 'outdatedProxy'>
  /** Host or host:port of the Data-ATS endpoint. */
  readonly endpoint: string
  readonly defaultPort: number
  readonly loadIdentity: () => Promise<ClientIdentity>
  /** How far the system clock is known to be off. */
  readonly clockOffsetMs: () => number
}

const withinMs = 8_000

/**
 * Looks why there is no MQTT connection: goes the same way up to the end of the TLS handshake, with the device's certificate,
 * and says no word. The CRT has only numbers for what a proxy or a middlebox does. Answers the named error, or undefined where all
 * that went well, or failed without a name of ours. Never rejects.
 */
export async function lookAtConnection(options: ConnectionCheckOptions): Promise<AgentError | undefined> {
  const { dialer, endpoint, defaultPort, loadIdentity, clockOffsetMs } = options
  try {
    const { certificate, privateKey, roots } = await loadIdentity()
    const target = endpointAddress(endpoint, defaultPort)
    const { socket, dates } = await dialer.secure({
      ...target,
      trust: createTrust({ roots: [roots], certificate, privateKey }),
      protocols: ['x-amzn-mqtt-ca'],
      withinMs,
    })
    socket.destroy()
    if (dates.datesUnchecked && dates.validity !== undefined) {
      return outsideDates({ endpoint, clockOffsetMs: clockOffsetMs() }, dates.validity)
    }
    const proxy = dialer.proxyFor(target)
    const { outdatedProxy: ofProxy } = dialer
    return proxy === undefined || ofProxy === undefined ? undefined : outdatedProxy(ofProxy, { proxy })
  } catch (error) {
    return error instanceof AgentError ? error : undefined
  }
}

/** What is behind a handshake of the CRT that failed: where the server is well and trusted, that it refuses the certificate. Never rejects. */
export async function explainTls(
  error: TlsFailedError,
  { refusedHint, ...options }: ConnectionCheckOptions & { readonly refusedHint?: string | undefined },
): Promise<AgentError> {
  if (error.isOfClock) return error
  return (await lookAtConnection(options)) ?? error.asRefusal(refusedHint)
}
