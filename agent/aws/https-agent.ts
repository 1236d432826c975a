import { Agent, type AgentOptions } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'

import { AgentError } from '../lib/errors.ts'
import { Dialer } from './dialer.ts'
import type { ChainDates } from './secure-connection.ts'
import type { Trust } from './trust.ts'
import { UntrustedServerError } from './untrusted-server.ts'

export interface HttpsAgentOptions {
  /** Asked at every connection, so that trust may come or change later. */
  readonly trust: () => Promise<Trust>
  readonly keepAlive?: boolean
  /** Default: straight connections. */
  readonly dialer?: Dialer
  /** Of the dialer that is there by default. */
  readonly lookup?: LookupFunction
  /** The bound on the way there and TLS handshake together. Default 5 s. */
  readonly connectWithinMs?: number
  /** Refuses certificates that are not valid by the system's clock, as any https.Agent does. Default: the clock may be wrong. */
  readonly requiresDates?: boolean
}

/**
 * Connects as any https.Agent does, with what Dialer and connectSecurely add: proxies, and servers whose certificates
 * are not valid by the system clock, because that is wrong.
 */
export class ClockTolerantAgent extends Agent {
  readonly #options: HttpsAgentOptions
  readonly #dialer: Dialer
  readonly #dates = new WeakMap<object, ChainDates>()

  constructor(options: HttpsAgentOptions) {
    const { keepAlive = true } = options
    // no bound per host: requests that hang would hold up all others to it, so whoever makes requests bounds them
    super({ keepAlive, maxSockets: Infinity, maxCachedSessions: 0 })
    this.#options = options
    this.#dialer = options.dialer ?? new Dialer({ lookup: options.lookup })
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
    const done = callback as ((error: Error | null, stream?: Duplex) => void) | undefined // Node calls it without a stream on error
    this.#connect(options).then(
      (socket) => done?.(null, socket),
      (error: unknown) => done?.(error instanceof Error ? error : new AgentError(String(error))),
    )
    return undefined
  }

  async #connect({
    host,
    port,
    servername,
  }: AgentOptions & { host?: string | null; port?: number | string | null }): Promise<TLSSocket> {
    const { trust, connectWithinMs, requiresDates = false } = this.#options
    const { socket, dates } = await this.#dialer.secure({
      host: host ?? 'localhost',
      port: typeof port === 'string' ? Number.parseInt(port, 10) : (port ?? 443),
      servername: servername === '' ? undefined : servername,
      trust: await trust(),
      ...(connectWithinMs === undefined ? {} : { withinMs: connectWithinMs }),
    })
    if (requiresDates && dates.datesUnchecked) {
      socket.destroy()
      const reason = 'its certificate is not valid by the clock of this machine'
      throw new UntrustedServerError(host ?? 'localhost', reason)
    }
    this.#dates.set(socket, dates)
    return socket
  }
}
