import { readFile } from 'node:fs/promises'

import type { Config } from '../config/config-schema.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { parseNoProxy, type NoProxyRule } from './no-proxy.ts'

/** What the process was started with; nothing of it may be shown, because it may hold a password. */
export interface ProxyEnvironment {
  /** `https_proxy` or `HTTPS_PROXY`: a URL, or host:port. */
  readonly httpsProxy?: string | undefined
  /** `no_proxy` or `NO_PROXY`: entries with commas between. */
  readonly noProxy?: string | undefined
}

export interface ProxyCredentials {
  readonly username: string
  readonly password: string
}

/** An HTTP proxy that makes tunnels (RFC 9110, section 9.3.6). */
export interface ProxyServer {
  readonly host: string
  readonly port: number
  /** Whether the way to the proxy itself is TLS. */
  readonly isTls: boolean
  /** What a person has to change about it. */
  readonly origin: 'network.proxy' | 'HTTPS_PROXY'
  /** Read anew for each connection. Throws an AgentError that names the file. */
  readonly credentials: () => Promise<ProxyCredentials | undefined>
}

export interface ProxySettings {
  readonly proxy: ProxyServer | undefined
  readonly noProxy: readonly NoProxyRule[]
  /** Entries of `NO_PROXY` that mean nothing, and are not followed. */
  readonly unusable: readonly string[]
}

const maxFileBytes = 4_096

/** Of variables by name: in lower case first, and an empty one counts as none, as curl has it. */
export function proxyEnvironment(variable: (name: string) => string | undefined): ProxyEnvironment {
  const either = (name: string): string | undefined =>
    [name.toLowerCase(), name].map(variable).find((text) => text !== undefined && text.trim() !== '')
  return { httpsProxy: either('HTTPS_PROXY'), noProxy: either('NO_PROXY') }
}

/**
 * The configuration's proxy, or else the environment's, and the exceptions in the same way. Throws an AgentError when the
 * environment's is no proxy URL, without showing it.
 */
export function proxySettings({ proxy, noProxy }: Config['network'], environment: ProxyEnvironment): ProxySettings {
  const exceptions = noProxy.length > 0 ? noProxy : (environment.noProxy ?? '').split(/[\s,]+/)
  const { rules, unusable } = parseNoProxy(exceptions)
  return { proxy: configured(proxy) ?? fromEnvironment(environment.httpsProxy), noProxy: rules, unusable }
}

/** `host:port`, or with `https://` before it, for people. */
export function shownProxy({ host, port, isTls }: Pick<ProxyServer, 'host' | 'port' | 'isTls'>): string {
  return `${isTls ? 'https://' : ''}${host.includes(':') ? `[${host}]` : host}:${port}`
}

function configured(proxy: Config['network']['proxy']): ProxyServer | undefined {
  if (proxy === undefined) return undefined
  const { usernameFile, passwordFile } = proxy
  return {
    ...addressOf(new URL(proxy.url)),
    origin: 'network.proxy',
    credentials: async () => {
      if (usernameFile === undefined || passwordFile === undefined) return undefined
      return { username: await readProxyLine(usernameFile), password: await readProxyLine(passwordFile) }
    },
  }
}

/** As curl does it, a proxy without a scheme is one without TLS. */
function fromEnvironment(text: string | undefined): ProxyServer | undefined {
  if (text === undefined || text === '') return undefined
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '' || isCutOff(url)) throw noProxyUrl()
  const credentials = credentialsIn(url)
  return { ...addressOf(url), origin: 'HTTPS_PROXY', credentials: () => Promise.resolve(credentials) }
}

/** A `/`, `?` or `#` of a password that is not escaped ends the host, which then is the user name. */
function isCutOff({ pathname, search, hash }: URL): boolean {
  return `${pathname}${search}${hash}`.includes('@')
}

function credentialsIn({ username, password }: URL): ProxyCredentials | undefined {
  if (username === '' && password === '') return undefined
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(password) }
  } catch {
    throw noProxyUrl()
  }
}

function addressOf({ protocol, hostname, port }: URL): Pick<ProxyServer, 'host' | 'port' | 'isTls'> {
  const isTls = protocol === 'https:'
  const usual = isTls ? 443 : 80
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? usual : Number(port), isTls }
}

/** The user name or the password for a proxy, as a file holds it. Throws a retryable AgentError that names the file. */
export async function readProxyLine(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const hint =
      errorCode(cause) === 'ENOENT'
        ? `write the user name, or the password, to ${path}, readable by the user that the agent runs as, or mend network.proxy`
        : `let the user that the agent runs as read ${path}`
    throw new AgentError('the credentials for the proxy cannot be read', { retryable: true, hint, cause })
  })
  const line = text.replace(/\r?\n$/, '')
  if (line !== '' && line.length <= maxFileBytes && !/\p{Cc}/u.test(line)) return line
  throw new AgentError(`the credentials for the proxy in ${path} are not one line of text`, {
    retryable: true,
    hint: `write the user name, or the password, and nothing else to ${path}`,
  })
}

function noProxyUrl(): AgentError {
  return new AgentError('HTTPS_PROXY of the environment is no URL of a proxy', {
    hint:
      'it looks like http://proxy.example:3128, with http or https, and with user and password as http://user:p%40ss@..., where ' +
      'each special character is escaped (%40 for @); or set network.proxy and unset it',
  })
}
