import { BlockList, isIP, isIPv6 } from 'node:net'

/** An exception from the proxy. */
export interface NoProxyRule {
  /** Any port where it names none. */
  readonly port: number | undefined
  /** Of a host name in lower case, or of an address. */
  readonly matches: (host: string) => boolean
}

interface Parsed {
  readonly rules: readonly NoProxyRule[]
  /** Entries that are none. */
  readonly unusable: readonly string[]
}

/**
 * Entries as curl and Go know them: `*` is everything, `example.com` that name and all below it, `.example.com` or
 * `*.example.com` only those below, an address, or a block of addresses such as `10.0.0.0/8` or `fd00::/8`. With `:port`
 * behind it an entry is for that port alone; an IPv6 address with a port stands in brackets. Names are not resolved.
 */
export function parseNoProxy(entries: readonly string[]): Parsed {
  const parsed = entries
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => ({ entry, rule: ruleOf(entry.toLowerCase()) }))
  return {
    rules: parsed.flatMap(({ rule }) => (rule === undefined ? [] : [rule])),
    unusable: parsed.filter(({ rule }) => rule === undefined).map(({ entry }) => entry),
  }
}

function ruleOf(entry: string): NoProxyRule | undefined {
  const { host, port } = splitPort(entry)
  if (port !== undefined && !(port >= 1 && port <= 65_535)) return undefined
  const matches = matcherOf(host)
  return matches === undefined ? undefined : { port, matches }
}

function splitPort(entry: string): { readonly host: string; readonly port: number | undefined } {
  const bracketed = /^\[(?<host>[^\]]+)\](?::(?<port>\d+))?$/.exec(entry)?.groups
  const named = isIPv6(entry.replace(/\/\d+$/, '')) ? undefined : /^(?<host>[^:]+):(?<port>\d+)$/.exec(entry)?.groups
  const { host = entry, port } = bracketed ?? named ?? {}
  return { host, port: port === undefined ? undefined : Number(port) }
}

function matcherOf(host: string): NoProxyRule['matches'] | undefined {
  if (host === '*') return () => true
  const [address = '', bits] = host.split('/')
  if (isIP(address) !== 0) return blockMatcher(address, bits)
  const name = host.replace(/^\*?\./, '')
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/.test(name)) return undefined
  const bare = name.replace(/\.$/, '')
  if (/(^|\.)\d+$/.test(bare)) return undefined // the beginning of an address is no name
  const isSuffix = name !== host
  return (asked) => (asked === bare && !isSuffix) || asked.endsWith(`.${bare}`)
}

function blockMatcher(address: string, bits: string | undefined): NoProxyRule['matches'] | undefined {
  const family = familyOf(address)
  const widest = family === 'ipv6' ? 128 : 32
  const prefix = bits === undefined ? widest : Number(bits)
  if (!/^\d+$/.test(bits ?? '0') || prefix > widest) return undefined
  const block = new BlockList()
  block.addSubnet(address, prefix, family)
  return (asked) => isIP(asked) !== 0 && block.check(asked, familyOf(asked))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}
