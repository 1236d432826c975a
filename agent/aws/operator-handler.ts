import { Agent as HttpAgent } from 'node:http'
import { getCACertificates } from 'node:tls'

import { NodeHttpHandler } from '@smithy/node-http-handler'

import type { Dialer } from './dialer.ts'
import { ClockTolerantAgent } from './https-agent.ts'
import { loopbackLookup } from './loopback-lookup.ts'
import { createTrust, type Trust } from './trust.ts'

const connectWithinMs = 10_000
/** For a part on a slow uplink. */
const requestTimeout = 600_000

/**
 * The HTTP handler of what operators run on machines of their own: by the dialer's proxy, and trusting whom that machine trusts
 * (its store, Node's own roots, NODE_EXTRA_CA_CERTS). Clocks of such machines are right, so that dates of certificates count.
 */
export function createOperatorHandler(dialer: Dialer): NodeHttpHandler {
  const trust = machineTrust()
  return new NodeHttpHandler({
    // instances, because the SDK would build plain agents from options for requests with Expect: 100-continue
    httpsAgent: new ClockTolerantAgent({ trust, dialer, connectWithinMs, requiresDates: true }),
    httpAgent: new HttpAgent({ keepAlive: true, lookup: loopbackLookup }),
    connectionTimeout: connectWithinMs * 2,
    requestTimeout,
    throwOnRequestTimeout: true,
  })
}

/** Whom this machine trusts, for a proxy that is spoken to by TLS, too. */
export function machineTrust(): () => Promise<Trust> {
  let built: Trust | undefined
  return () => {
    built ??= createTrust({ roots: [...new Set([...getCACertificates('default'), ...getCACertificates('system')])] })
    return Promise.resolve(built)
  }
}
