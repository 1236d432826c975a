import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'

import { fail, pass, skip, warn, type Check, type Outcome } from './doctor-check.ts'

/** What this machine has of a network, as far as it can be read without asking anybody. */
export interface NetworkFacts {
  /** `eth0 192.0.2.7`, loopback left out. */
  readonly addresses: readonly NetworkAddress[]
  /** The interfaces that default routes lead to. */
  readonly defaultV4: readonly string[]
  readonly defaultV6: readonly string[]
}

export interface NetworkAddress {
  readonly interface: string
  readonly address: string
  readonly family: 4 | 6
}

const shownAddresses = 4

/** Whether there is an address and a way out. Nothing of it matters where every endpoint is on this machine. */
export function networkCheck(isAllOnLoopback: boolean, readFacts: () => Promise<NetworkFacts> = readNetwork): Check {
  return {
    id: 'network',
    name: 'network',
    withinMs: 3_000,
    run: async () =>
      isAllOnLoopback ? [skip('every endpoint is on this machine')] : [networkOutcome(await readFacts())],
  }
}

export function networkOutcome({ addresses, defaultV4, defaultV6 }: NetworkFacts): Outcome {
  const routable = addresses.filter(({ address }) => !isLinkLocal(address))
  if (routable.length === 0) {
    const found = addresses.length === 0 ? 'no interface has an address' : 'there are link-local addresses only'
    return fail(found, 'check cable, link and DHCP: ip address; networkctl, nmcli or /etc/network/interfaces sets them')
  }
  const shown = routable.slice(0, shownAddresses).map((each) => `${each.interface} ${each.address}`)
  const more = routable.length > shownAddresses ? `, and ${routable.length - shownAddresses} more` : ''
  const ways = [...defaultV4.map((name) => `IPv4 by ${name}`), ...defaultV6.map((name) => `IPv6 by ${name}`)]
  const text = `${shown.join(', ')}${more}`
  if (ways.length > 0) return pass(`${text}; default route: ${[...new Set(ways)].join(', ')}`)
  return warn(
    `${text}; there is no default route, so only the local network can be reached`,
    'set a gateway, by DHCP or by hand, unless every endpoint is in the local network: ip route',
  )
}

export async function readNetwork(): Promise<NetworkFacts> {
  const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')
  const [v4, v6] = await Promise.all([read('/proc/net/route'), read('/proc/net/ipv6_route')])
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, list = []]) =>
    list
      .filter(({ internal }) => !internal)
      .map(({ address, family }) => ({
        interface: name,
        address,
        family: family === 'IPv4' ? (4 as const) : (6 as const),
      })),
  )
  return { addresses, defaultV4: defaultRoutesV4(v4), defaultV6: defaultRoutesV6(v6) }
}

/** `/proc/net/route`: interface, destination, gateway, flags, ..., mask in the eighth column, all in hexadecimal (proc_net(5)). */
export function defaultRoutesV4(text: string): readonly string[] {
  const rows = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
  return unique(
    rows.flatMap(([name = '', destination, , flags = '0', , , , mask]) =>
      destination === '00000000' && mask === '00000000' && isUsable(flags) ? [name] : [],
    ),
  )
}

/** `/proc/net/ipv6_route`: destination, its length, ..., flags in the ninth column, interface last. */
export function defaultRoutesV6(text: string): readonly string[] {
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/))
  return unique(
    rows.flatMap(([destination, length, , , , , , , flags = '0', name = '']) =>
      destination === '0'.repeat(32) && length === '00' && isUsable(flags) && name !== 'lo' ? [name] : [],
    ),
  )
}

/** RTF_UP, and not RTF_REJECT. */
function isUsable(flags: string): boolean {
  const bits = Number.parseInt(flags, 16)
  return (bits & 0x1) !== 0 && (bits & 0x200) === 0
}

function isLinkLocal(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address)
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)]
}
