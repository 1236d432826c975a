import type { ProxyServer } from '../network/proxy-settings.ts'
import type { Validity } from '../credentials/server-clock.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { UntrustedServerError } from './untrusted-server.ts'

export type ProxyFailure =
  'unreachable' | 'untrusted' | 'outdated' | 'credentials' | 'refused' | 'cannot-reach' | 'no-proxy'

/** The proxy did not make a tunnel. Nothing was sent to the server behind it. Names no credentials. */
export class ProxyError extends AgentError {
  override readonly name = 'ProxyError'
  readonly failure: ProxyFailure
  /** Of the proxy's answer. */
  readonly status: number | undefined

  constructor(failure: ProxyFailure, text: string, details: ProxyErrorDetails) {
    super(text, { retryable: true, hint: details.hint, cause: details.cause })
    this.failure = failure
    this.status = details.status
  }
}

interface ProxyErrorDetails {
  readonly hint: string
  readonly status?: number
  readonly cause?: unknown
}

export interface TunnelEnds {
  readonly proxy: Pick<ProxyServer, 'host' | 'port' | 'isTls' | 'origin'>
  /** host:port of the server. */
  readonly target: string
  readonly hasCredentials: boolean
}

/** What a proxy means by an answer to CONNECT that is not 2xx (RFC 9110, sections 9.3.6 and 15). */
export function refusedByProxy(
  answer: { readonly status: number; readonly reason: string },
  ends: TunnelEnds,
): ProxyError {
  const { status } = answer
  const { proxy, target, hasCredentials } = ends
  const shown = `HTTP ${status}${reasonText(answer.reason)}`
  const by = shownAddress(proxy)
  if (status === 407) {
    const text = hasCredentials ? 'does not take the credentials' : 'wants credentials'
    return new ProxyError('credentials', `the proxy ${by} ${text} for a connection to ${target} (${shown})`, {
      hint: credentialsHint(proxy.origin),
      status,
    })
  }
  if (status === 403 || status === 401 || status === 405) {
    return new ProxyError('refused', `the proxy ${by} does not allow connections to ${target} (${shown})`, {
      hint: `have the proxy allow CONNECT to ${target}, or make an exception of it in network.noProxy`,
      status,
    })
  }
  if (status >= 500 && status !== 511) {
    return new ProxyError('cannot-reach', `the proxy ${by} cannot reach ${target} (${shown})`, {
      hint: `see that the proxy resolves and reaches ${target}; the agent keeps trying`,
      status,
    })
  }
  return new ProxyError('refused', `the proxy ${by} makes no tunnel to ${target} (${shown})`, {
    hint: `what answers there may be no proxy, or a page to log in at: check ${proxy.origin} and the network`,
    status,
  })
}

/** The connection to the proxy could not be made, or broke before its answer. */
export function proxyUnreachable(cause: unknown, { proxy }: Pick<TunnelEnds, 'proxy'>): ProxyError {
  if (cause instanceof ProxyError) return cause
  if (cause instanceof UntrustedServerError) return untrustedProxy(cause, proxy)
  const code = errorCode(cause) ?? (cause instanceof Error ? cause.name : 'unknown error')
  const by = shownAddress(proxy)
  if (/^HPE_|^ERR_SSL_/.test(code)) {
    return new ProxyError('no-proxy', `what answers at ${by} is no such proxy: ${code}`, {
      hint: `check ${proxy.origin}: whether the way to the proxy is http:// or https://, and its port`,
      cause,
    })
  }
  return new ProxyError('unreachable', `the proxy ${by} cannot be reached: ${code}`, {
    hint: `check ${proxy.origin}, and that the appliance reaches ${by}; the agent keeps trying`,
    cause,
  })
}

/** Nothing was sent to it, its credentials neither. */
function untrustedProxy({ why }: UntrustedServerError, proxy: TunnelEnds['proxy']): ProxyError {
  return new ProxyError('untrusted', `the proxy ${shownAddress(proxy)} is not trusted: ${why}`, {
    hint:
      `have ${proxy.origin} name the proxy as its certificate does, and put the root of that certificate into the system's ` +
      'store (update-ca-certificates) and restart the agent, or into identity.rootCa',
  })
}

/** HTTPS goes on by the clock rules of the agent, and MQTT by the system clock alone. */
export function outdatedProxy({ notBeforeMs, notAfterMs }: Validity, { proxy }: Pick<TunnelEnds, 'proxy'>): ProxyError {
  const [from, to] = [notBeforeMs, notAfterMs].map((ms) => new Date(ms).toISOString())
  const by = shownAddress(proxy)
  return new ProxyError('outdated', `the certificate of the proxy ${by} is valid from ${from} to ${to}, and not now`, {
    hint: 'set the system clock if it is wrong, or renew the certificate of the proxy: MQTT waits for that, all else goes on',
  })
}

function credentialsHint(origin: ProxyServer['origin']): string {
  return origin === 'network.proxy'
    ? 'check the user name and the password in network.proxy.usernameFile and passwordFile; the proxy has to take Basic'
    : 'check the user name and the password in HTTPS_PROXY, or name files with them in network.proxy; the proxy has to take Basic'
}

function shownAddress({ host, port }: Pick<ProxyServer, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

function reasonText(reason: string): string {
  const text = reason
    .replace(/\P{L}+/gu, ' ')
    .trim()
    .slice(0, 60)
  return text === '' ? '' : ` ${text}`
}
