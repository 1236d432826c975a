import { isIP } from 'node:net'
import { readFile } from 'node:fs/promises'

import { DeadlineError, errorCode } from '../lib/errors.ts'
import { withDeadline } from '../lib/abort.ts'
import { fail, pass, skip, warn, type Check, type Outcome } from './doctor-check.ts'
import { isLoopbackHost, type Endpoint } from './endpoint.ts'
import type { NetworkFacts } from './network-check.ts'

export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

/** As the agent resolves names. Cannot be aborted: it is left behind. */
export type ResolveName = (host: string) => Promise<readonly ResolvedAddress[]>

export interface DnsDeps {
  readonly resolve: ResolveName
  readonly network: () => Promise<NetworkFacts>
  /** Of resolv.conf(5). */
  readonly resolvers: () => Promise<readonly string[]>
}

const resolveWithinMs = 8_000
const shownAddresses = 2

/** Whether the name of an endpoint can be resolved, to addresses that there is a way to. */
export function dnsCheck({ key, name, host }: Endpoint, deps: DnsDeps): Check {
  return {
    id: `dns.${key}`,
    name: `DNS ${name}`,
    withinMs: resolveWithinMs + 1_000,
    run: async (signal) => [await look(host, deps, signal)],
  }
}

/** The proxy has the name resolved, and may be the only one who can. */
export function proxiedNameCheck({ key, name, host }: Endpoint, proxy: string): Check {
  return {
    id: `dns.${key}`,
    name: `DNS ${name}`,
    withinMs: 1_000,
    run: () => Promise.resolve([skip(`${host} is resolved by the proxy ${proxy}`)]),
  }
}

/**
 * At most two names at a time: each that hangs holds a thread of the few that reading files needs as well, until the system's
 * resolver gives up.
 */
export function fewAtATime(resolve: ResolveName, atATime = 2): ResolveName {
  const lanes = Array.from({ length: atATime }, () => Promise.resolve<unknown>(undefined))
  let next = 0
  return async (host) => {
    const lane = next % atATime
    next += 1
    const answer = (lanes[lane] ?? Promise.resolve()).then(() => resolve(host))
    lanes[lane] = answer.catch(() => undefined)
    return await answer
  }
}

/** The name servers that resolv.conf names; none where it cannot be read. */
export async function readResolvers(path = '/etc/resolv.conf'): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return [...text.matchAll(/^nameserver\s+(\S+)/gm)].map(([, address = '']) => address)
}

async function look(host: string, { resolve, network, resolvers }: DnsDeps, signal: AbortSignal): Promise<Outcome> {
  if (isIP(host) !== 0) return pass(`${host} is an address`)
  if (isLoopbackHost(host)) return pass(`${host} is this machine`)
  const by = byWhom(await resolvers())
  try {
    const deadline = { signal, withinMs: resolveWithinMs, what: 'resolving the name' }
    const addresses = await withDeadline(deadline, async () => await resolve(host))
    return resolved(host, { addresses, by, network: await network() })
  } catch (error) {
    signal.throwIfAborted()
    return unresolved(host, error, by)
  }
}

interface Resolved {
  readonly addresses: readonly ResolvedAddress[]
  readonly by: string
  readonly network: NetworkFacts
}

function resolved(host: string, { addresses, by, network }: Resolved): Outcome {
  const all = [...new Set(addresses.map(({ address }) => address))]
  const more = all.length > shownAddresses ? ` and ${all.length - shownAddresses} more` : ''
  const text = `${host} is ${all.slice(0, shownAddresses).join(', ')}${more}, ${by}`
  const hasV4 = addresses.some(({ family }) => family === 4)
  const hasV6 = addresses.some(({ family }) => family === 6)
  const isV6Only = network.defaultV4.length === 0 && network.defaultV6.length > 0
  if (isV6Only && !hasV6 && !all.every(isLocalAddress)) {
    return warn(
      `${text}: it has IPv4 addresses only (A), and this network has a way out by IPv6 only`,
      'set endpoints.dualStack, or let the network offer NAT64 and DNS64',
    )
  }
  if (hasV4 || network.defaultV6.length > 0 || all.every(isLocalAddress)) return pass(text)
  return warn(
    `${text}: it has IPv6 addresses only (AAAA), and this network has no way out by IPv6`,
    'unset endpoints.dualStack, or mend the IPv6 route of the network',
  )
}

function unresolved(host: string, error: unknown, by: string): Outcome {
  const code = errorCode(error)
  if (code === 'ENOTFOUND') {
    return fail(
      `there is no name ${host}, ${by} (ENOTFOUND)`,
      'check the spelling of the endpoint, and the DNS server of the network',
    )
  }
  const why = error instanceof DeadlineError ? 'no answer came in time' : `it failed with ${code ?? 'an unknown error'}`
  return fail(
    `${host} cannot be resolved, ${by}: ${why}`,
    'check /etc/resolv.conf or resolvectl status, and that UDP and TCP 53 reach the DNS server',
  )
}

function byWhom(resolvers: readonly string[]): string {
  return resolvers.length === 0
    ? 'by no DNS server, as /etc/resolv.conf names none'
    : `by ${resolvers.slice(0, 3).join(', ')}`
}

function isLocalAddress(address: string): boolean {
  return /^(127\.|::1$|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd])/i.test(address)
}
