import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net'

import type { Validity } from '../credentials/server-clock.ts'
import type { ByteCounter } from '../lib/byte-counter.ts'
import { withDeadline } from '../lib/abort.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { ProxyServer } from '../network/proxy-settings.ts'
import { CaptivePortalError, isPlainAnswer, lookForPortal, type PortalSign } from './captive-portal.ts'
import { loopbackLookup } from './loopback-lookup.ts'
import { proxyUnreachable } from './proxy-error.ts'
import { openTunnel } from './proxy-tunnel.ts'
import { connectSecurely, type SecureConnection } from './secure-connection.ts'
import type { Trust } from './trust.ts'
import { UntrustedServerError } from './untrusted-server.ts'

export interface DialerOptions {
  /** By which proxy a connection goes, if by any. Default: by none. */
  readonly proxyFor?: (host: string, port: number) => ProxyServer | undefined
  /** Whom to trust as a proxy that is spoken to by TLS. Needed where there is one. */
  readonly proxyTrust?: () => Promise<Trust>
  readonly lookup?: LookupFunction | undefined
  /** Counts every byte of every connection. */
  readonly counter?: ByteCounter
  /** Where a host is asked without TLS whether a portal answers for it; undefined: nowhere. Default: nowhere. */
  readonly portalPort?: (host: string) => number | undefined
}

export interface DialTarget {
  /** A name, or an address without brackets. */
  readonly host: string
  readonly port: number
}

export interface SecureTarget extends DialTarget {
  /** Default: the host. */
  readonly servername?: string | undefined
  readonly trust: Trust
  /** For ALPN. Default http/1.1. */
  readonly protocols?: readonly string[]
  /** The bound on connection, tunnel and handshake together. Default 5 s. */
  readonly withinMs?: number
}

const defaultWithinMs = 5_000
/**
 * How long an address of a name is tried before the next one is. In Node's own half second a link by satellite has answered for
 * none; the last one alone has longer, and may be of the family that has no way out.
 */
const addressWithinMs = 2_000
const portalWithinMs = 3_000
const portalEveryMs = 30_000
/** An appliance has a few hosts, and an access point each artifact. */
const maxLooks = 256
/** A portal may answer, refuse, or drop what is not for it. */
const portalCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EPROTO'])

interface PortalLook {
  readonly atMs: number
  readonly sign: Promise<PortalSign | undefined>
}

/** Makes every connection of the agent that is not MQTT: straight or by a proxy, and counted. */
export class Dialer {
  readonly #options: DialerOptions
  readonly #looks = new Map<string, PortalLook>()
  #outdatedProxy: Validity | undefined

  constructor(options: DialerOptions = {}) {
    this.#options = options
  }

  proxyFor({ host, port }: DialTarget): ProxyServer | undefined {
    return this.#options.proxyFor?.(host, port)
  }

  /**
   * Of a proxy that is spoken to by TLS, was trusted at the last connection, and whose certificate is not valid by the system
   * clock: between which dates it is.
   */
  get outdatedProxy(): Validity | undefined {
    return this.#outdatedProxy
  }

  /** See connectSecurely. Throws a ProxyError, a CaptivePortalError, an UntrustedServerError, or Node's error. */
  async secure(target: SecureTarget): Promise<SecureConnection> {
    const { host, trust, servername = host, protocols = ['http/1.1'], withinMs = defaultWithinMs } = target
    const open = async (signal: AbortSignal): Promise<Socket> => await this.dial(target, signal)
    try {
      return await connectSecurely({ servername, trust, protocols, withinMs, open })
    } catch (error) {
      throw await this.#named(error, target)
    }
  }

  /**
   * Whether a portal answers in the place of a host, as far as can be seen without TLS; looked for every 30 s at most, for each
   * host by itself: one may be a server of the network. Never rejects.
   */
  async lookForPortal(host: string): Promise<PortalSign | undefined> {
    const port = this.#options.portalPort?.(host)
    if (port === undefined) return undefined
    const kept = this.#looks.get(host)
    if (kept !== undefined && monotonicMs() - kept.atMs <= portalEveryMs) return await kept.sign
    if (kept === undefined && this.#looks.size >= maxLooks) this.#looks.clear()
    const look = { atMs: monotonicMs(), sign: this.#lookForPortal({ host, port }).catch(() => undefined) }
    this.#looks.set(host, look)
    return await look.sign
  }

  /** A connection to speak on with the target. Throws a ProxyError, Node's error, or the signal's reason. */
  async dial(target: DialTarget, signal: AbortSignal): Promise<Socket> {
    const proxy = this.proxyFor(target)
    if (proxy === undefined) return await this.#connect(target, signal)
    const credentials = await proxy.credentials()
    const socket = await this.#toProxy(proxy, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      throw proxyUnreachable(error, { proxy })
    })
    return await openTunnel({ socket, proxy, target: shownTarget(target), credentials, signal })
  }

  async #lookForPortal(target: DialTarget): Promise<PortalSign | undefined> {
    const deadline = { signal: new AbortController().signal, withinMs: portalWithinMs, what: 'the look for a portal' }
    return await withDeadline(deadline, async (signal) => {
      const socket = await this.#connect(target, signal)
      return await lookForPortal({ host: target.host, socket, signal })
    })
  }

  /** The error of a handshake, by what is behind it. */
  async #named(error: unknown, target: DialTarget): Promise<unknown> {
    const code = errorCode(error) ?? ''
    const isPlain = isPlainAnswer(code)
    const isUntrusted = error instanceof UntrustedServerError
    if (!isPlain && !isUntrusted && (error instanceof AgentError || !portalCodes.has(code))) return error
    const sign = this.proxyFor(target) === undefined ? await this.lookForPortal(target.host) : undefined
    if (sign !== undefined) return new CaptivePortalError(target.host, sign)
    return isPlain ? new CaptivePortalError(target.host, { what: 'it speaks no TLS there' }) : error
  }

  async #toProxy(proxy: ProxyServer, signal: AbortSignal): Promise<Socket> {
    if (!proxy.isTls) return await this.#connect(proxy, signal)
    const trust = await this.#options.proxyTrust?.()
    if (trust === undefined) throw new AgentError('there is nobody to trust as a proxy')
    const { socket, dates } = await connectSecurely({
      servername: proxy.host,
      trust,
      protocols: ['http/1.1'],
      withinMs: defaultWithinMs,
      open: async (inner) => await this.#connect(proxy, AbortSignal.any([signal, inner])),
    })
    this.#outdatedProxy = dates.datesUnchecked ? dates.validity : undefined
    return socket
  }

  async #connect({ host, port }: DialTarget, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted()
    const { lookup = loopbackLookup, counter } = this.#options
    const attempts = { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: addressWithinMs }
    const socket = connectTcp({ host, port, lookup, noDelay: true, ...attempts })
    counter?.follow(socket)
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const onAbort = (): void => {
      reject(signal.reason)
      socket.destroy()
    }
    socket.once('connect', resolve)
    socket.on('error', reject) // stays, for what goes wrong when nobody else listens yet
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
      return socket
    } catch (error) {
      socket.destroy()
      throw oneOf(error)
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

/** host:port as CONNECT has it (RFC 9110, section 9.3.6). */
function shownTarget({ host, port }: DialTarget): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Of a name with several addresses each has its error, and the whole has no text. */
function oneOf(error: unknown): unknown {
  const [first] = error instanceof AggregateError ? (error.errors as readonly unknown[]) : []
  return first ?? error
}
