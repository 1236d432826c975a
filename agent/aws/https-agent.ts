import { Agent, type AgentOptions } from 'node:https'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect, type DetailedPeerCertificate, type PeerCertificate, type TLSSocket } from 'node:tls'

import type { Validity } from '../credentials/server-clock.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { loopbackLookup } from './loopback-lookup.ts'
import { rootCertificatesOf, type Trust } from './trust.ts'
import { verifyChainIgnoringDates } from './verify-chain.ts'

export interface HttpsAgentOptions {
  /** Asked at every connection, so that trust may come or change later. */
  readonly trust: () => Promise<Trust>
  readonly keepAlive?: boolean
  readonly lookup?: LookupFunction
  /** The bound on TCP connection and TLS handshake together. Default 5 s. */
  readonly connectWithinMs?: number
}

/** Between which dates the certificates behind a connection are valid, and whether TLS has checked that. */
export interface ChainDates {
  readonly validity: Validity | undefined
  readonly datesUnchecked: boolean
}

interface ConnectTarget {
  readonly host: string
  readonly port: number
  readonly servername: string
}

interface Terms {
  readonly trust: Trust
  readonly rejectUnauthorized: boolean
}

const defaultConnectWithinMs = 5_000
const clockCodes = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'])

/**
 * Connects as any https.Agent does, with one addition: when a handshake fails because the server's certificate is not
 * valid at the time that the system clock shows, it connects once more and checks chain and host itself, everything
 * but the dates, before a single byte is sent. An untrusted server reports the same code under a wrong clock, so the
 * code alone is never believed.
 */
export class ClockTolerantAgent extends Agent {
  readonly #trust: () => Promise<Trust>
  readonly #connectWithinMs: number
  readonly #lookup: LookupFunction
  readonly #dates = new WeakMap<object, ChainDates>()

  constructor(options: HttpsAgentOptions) {
    const { keepAlive = true, lookup = loopbackLookup, connectWithinMs = defaultConnectWithinMs } = options
    // no bound per host: requests that hang would hold up all others to it, so whoever makes requests bounds them
    super({ keepAlive, maxSockets: Infinity, maxCachedSessions: 0 })
    this.#trust = options.trust
    this.#lookup = lookup
    this.#connectWithinMs = connectWithinMs
  }

  /** What is known of the dates of the certificates behind a socket of this agent. */
  datesOf(socket: object | undefined): ChainDates {
    return (
      (socket === undefined ? undefined : this.#dates.get(socket)) ?? { validity: undefined, datesUnchecked: false }
    )
  }

  /** Closes the connections that are not in use, so that the next request starts on a fresh one. */
  closeIdle(): void {
    for (const sockets of Object.values(this.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy()
    }
  }

  override createConnection(
    options: AgentOptions & { host?: string | null; port?: number | string | null },
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | undefined {
    const host = options.host ?? 'localhost'
    const servername = options.servername === undefined || options.servername === '' ? host : options.servername
    const target = {
      host,
      port: typeof options.port === 'string' ? Number.parseInt(options.port, 10) : (options.port ?? 443),
      servername,
    }
    const done = callback as ((error: Error | null, stream?: Duplex) => void) | undefined // Node calls it without a stream on error
    this.#connect(target).then(
      (socket) => done?.(null, socket),
      (error: unknown) => done?.(error instanceof Error ? error : new AgentError(String(error))),
    )
    return undefined
  }

  async #connect(target: ConnectTarget): Promise<TLSSocket> {
    const trust = await this.#trust()
    try {
      const socket = await this.#handshake(target, { trust, rejectUnauthorized: true })
      this.#dates.set(socket, { validity: validityOf(socket.getPeerCertificate()), datesUnchecked: false })
      return socket
    } catch (error) {
      if (!clockCodes.has(errorCode(error) ?? '')) throw error
      return await this.#handshakeIgnoringDates(target, trust)
    }
  }

  async #handshakeIgnoringDates(target: ConnectTarget, trust: Trust): Promise<TLSSocket> {
    const socket = await this.#handshake(target, { trust, rejectUnauthorized: false })
    try {
      const certificates = presentedCertificates(socket.getPeerCertificate(true))
      const roots = rootCertificatesOf(trust)
      const validity = await verifyChainIgnoringDates({ host: target.servername, certificates, roots })
      this.#dates.set(socket, { validity, datesUnchecked: true })
      return socket
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  async #handshake(
    { host, port, servername }: ConnectTarget,
    { trust, rejectUnauthorized }: Terms,
  ): Promise<TLSSocket> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const socket = connect({
      host,
      port,
      servername: isIP(servername) === 0 ? servername : '',
      rejectUnauthorized,
      lookup: this.#lookup,
      secureContext: trust.secureContext,
      ALPNProtocols: ['http/1.1'],
    })
    const timer = setTimeout(() => {
      socket.destroy(connectTimeout(host, this.#connectWithinMs))
    }, this.#connectWithinMs)
    socket.once('secureConnect', resolve)
    socket.on('error', reject) // stays: an error before the request has its own listener must not end the process
    try {
      await promise
      return withNoDelay(socket)
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

function withNoDelay<T extends Socket>(socket: T): T {
  socket.setNoDelay(true)
  return socket
}

function connectTimeout(host: string, withinMs: number): Error {
  return Object.assign(new Error(`no connection to ${host} within ${withinMs} ms`), { code: 'ETIMEDOUT' })
}

function validityOf({ valid_from: from, valid_to: to }: PeerCertificate): Validity {
  return { notBeforeMs: Date.parse(from), notAfterMs: Date.parse(to) }
}

/** What a server has presented, its own certificate first, in DER. */
export function presentedCertificates(leaf: DetailedPeerCertificate): readonly Uint8Array[] {
  const found: Uint8Array[] = []
  const seen = new Set<DetailedPeerCertificate>()
  let next = leaf as DetailedPeerCertificate | undefined // Node leaves the issuer out at the end of a broken chain
  while (next !== undefined && !seen.has(next)) {
    seen.add(next)
    if ('raw' in next) found.push(next.raw)
    next = next.issuerCertificate
  }
  return found
}
