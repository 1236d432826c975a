import { http, io } from 'aws-iot-device-sdk-v2'

import type { ProxyCredentials, ProxyServer } from '../network/proxy-settings.ts'
import type { Trust } from './trust.ts'

/** What the client is told of a proxy at its start, once and for all. */
export interface ProxyTerms {
  readonly credentials: ProxyCredentials | undefined
  /** Who vouches for it, where it is spoken to by TLS. */
  readonly trust: Trust | undefined
}

/** As they are now. Throws what keeps the credentials from being read. */
export async function proxyTerms(proxy: ProxyServer, trust: () => Promise<Trust>): Promise<ProxyTerms> {
  return { credentials: await proxy.credentials(), trust: proxy.isTls ? await trust() : undefined }
}

/**
 * A proxy in the CRT's words: a tunnel by CONNECT. Its name is resolved here, that of the server at the proxy.
 */
export function mqttProxy({ host, port }: ProxyServer, { credentials, trust }: ProxyTerms): http.HttpProxyOptions {
  const { Basic, None } = http.HttpProxyAuthenticationType
  return new http.HttpProxyOptions(
    host,
    port,
    credentials === undefined ? None : Basic,
    credentials?.username,
    credentials?.password,
    trust === undefined ? undefined : tlsTo(host, trust),
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
