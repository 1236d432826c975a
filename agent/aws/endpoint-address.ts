import type { DialTarget } from './dialer.ts'

/** Takes `host`, `host:port`, or an IPv6 address in brackets with or without a port apart; the host has no brackets then. */
export function endpointAddress(endpoint: string, defaultPort: number): DialTarget {
  const { address, name, port } =
    /^(\[(?<address>[^\]]+)\]|(?<name>[^:]+))(:(?<port>\d+))?$/.exec(endpoint)?.groups ?? {}
  return { host: address ?? name ?? endpoint, port: port === undefined ? defaultPort : Number(port) }
}
