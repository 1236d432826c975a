import { http, io } from 'aws-iot-device-sdk-v2'

import type { ProxyCredentials, ProxyServer } from '../network/proxy-settings.ts'
import type { Trust } from './trust.ts'

export interface MqttProxyOptions {
  readonly proxy: ProxyServer
  readonly credentials: ProxyCredentials | undefined
  /** Whom to trust as a proxy that is spoken to by TLS. */
  readonly trust: () => Promise<Trust>
}

/**
 * A proxy in the CRT's words: a tunnel by CONNECT. Its name is resolved here, that of the server at the proxy.
 */
export async function mqttProxy({ proxy, credentials, trust }: MqttProxyOptions): Promise<http.HttpProxyOptions> {
  const { host, port, isTls } = proxy
  const { Basic, None } = http.HttpProxyAuthenticationType
  return new http.HttpProxyOptions(
    host,
    port,
    credentials === undefined ? None : Basic,
    credentials?.username,
    credentials?.password,
    isTls ? tlsTo(host, await trust()) : undefined,
    http.HttpProxyConnectionType.Tunneling,
  )
}

function tlsTo(host: string, { roots }: Trust): io.TlsConnectionOptions {
  return new io.TlsConnectionOptions(contextOf(roots) ?? contextWith(usableOf(roots)), host)
}

/** A system's store may hold what OpenSSL takes and the CRT does not: then all but that. */
function usableOf(roots: readonly string[]): readonly string[] {
  if (contextOf(roots) !== undefined) return roots
  if (roots.length <= 1) return []
  const middle = Math.ceil(roots.length / 2)
  return [...usableOf(roots.slice(0, middle)), ...usableOf(roots.slice(middle))]
}

function contextOf(roots: readonly string[]): io.ClientTlsContext | undefined {
  try {
    return contextWith(roots)
  } catch {
    return undefined
  }
}

function contextWith(roots: readonly string[]): io.ClientTlsContext {
  const options = new io.TlsContextOptions()
  options.override_default_trust_store(roots.join('\n'))
  return new io.ClientTlsContext(options)
}
