import { Agent as HttpAgent, type IncomingMessage } from 'node:http'
import type { LookupFunction } from 'node:net'

import { NodeHttpHandler } from '@smithy/node-http-handler'

import type { DateSample } from '../credentials/server-clock.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { CaptivePortalError, isForeignPage } from './captive-portal.ts'
import { Dialer } from './dialer.ts'
import { ClockTolerantAgent } from './https-agent.ts'
import { loopbackLookup } from './loopback-lookup.ts'
import type { Trust } from './trust.ts'

export interface RequestHandlerOptions {
  readonly trust: () => Promise<Trust>
  readonly onDate: (sample: DateSample) => void
  readonly lookup?: LookupFunction
  readonly dialer?: Dialer
}

const connectionTimeout = 5_000
const requestTimeout = 60_000

/**
 * The HTTP handler of every SDK client: the agent's own trust and clock rules, a deadline on connecting and on the
 * headers of the answer, and the `Date` of each answer handed on. There is none on a silent socket, because it would
 * also end a body whose reader is slow; whoever reads a body has a deadline of its own. Agents are passed as instances, because the SDK
 * would build plain ones from options for some requests.
 */
export class ObservingRequestHandler extends NodeHttpHandler {
  readonly #agent: ClockTolerantAgent
  readonly #plainAgent: HttpAgent
  readonly #onDate: (sample: DateSample) => void

  constructor(options: RequestHandlerOptions) {
    const { trust, onDate, lookup = loopbackLookup, dialer = new Dialer({ lookup }) } = options
    const httpsAgent = new ClockTolerantAgent({ trust, dialer, connectWithinMs: connectionTimeout })
    // no bound per host, for the reason that ClockTolerantAgent has none; http goes to loopback alone, so by no proxy
    const httpAgent = new HttpAgent({ keepAlive: true, maxSockets: Infinity, lookup })
    super({
      httpsAgent,
      httpAgent,
      connectionTimeout: connectionTimeout * 2,
      requestTimeout,
      throwOnRequestTimeout: true,
    })
    this.#agent = httpsAgent
    this.#plainAgent = httpAgent
    this.#onDate = onDate
  }

  override async handle(...args: Parameters<NodeHttpHandler['handle']>): ReturnType<NodeHttpHandler['handle']> {
    const sentMs = monotonicMs()
    const result = await super.handle(...args)
    const { statusCode } = result.response
    const { headers, body } = result.response as { headers: Record<string, string>; body: IncomingMessage }
    if (statusCode < 400 && isForeignPage(headers)) {
      body.destroy()
      throw new CaptivePortalError(args[0].hostname, { what: 'a web page' })
    }
    if (headers['date'] !== undefined && headers['age'] === undefined) {
      this.#onDate({ date: headers['date'], sentMs, receivedMs: monotonicMs(), ...this.#agent.datesOf(body.socket) })
    }
    return result
  }

  /** Closes idle connections, so that the next request starts on a fresh one. */
  closeIdle(): void {
    this.#agent.closeIdle()
    for (const sockets of Object.values(this.#plainAgent.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy()
    }
  }
}
