import { pass, warn, type Check } from './doctor-check.ts'

/** A proxy that is named somewhere. */
export interface NamedProxy {
  /** Such as `HTTPS_PROXY of panorama-agent.service`. */
  readonly where: string
  /** Host and port, without user name and password. */
  readonly proxy: string
}

/** What is known of proxies on the way to the cloud. */
export interface ProxyFacts {
  /** What the agent goes by. */
  readonly used: NamedProxy | undefined
  /** Named in a way that the agent does not go by. */
  readonly unused: NamedProxy | undefined
  /** Why what is named is no proxy. */
  readonly fault?: Error | undefined
  /** Answers whether an endpoint goes by it. Throws what keeps the proxy from making tunnels at all. */
  readonly tryTunnel?: ((signal: AbortSignal) => Promise<boolean>) | undefined
}

export function proxyCheck(read: (signal: AbortSignal) => Promise<ProxyFacts>): Check {
  return {
    id: 'proxy',
    name: 'proxy',
    withinMs: 10_000,
    run: async (signal) => {
      const { used, unused, fault, tryTunnel } = await read(signal)
      if (fault !== undefined) throw fault
      if (used !== undefined) {
        const isOnTheWay = (await tryTunnel?.(signal)) ?? true
        return [pass(`${used.proxy}, by ${used.where}${isOnTheWay ? '' : '; every endpoint is an exception from it'}`)]
      }
      if (unused === undefined) return [pass('none is named: the agent connects directly')]
      return [
        warn(
          `${unused.where} names ${unused.proxy}, which the agent does not go by: it connects directly`,
          'where the appliance has to go by it, name it in network.proxy, or in HTTPS_PROXY of the service',
        ),
      ]
    },
  }
}

/** Host and port of a proxy's URL, whatever else is in it. */
export function proxyPlace(url: string): string {
  const parsed = URL.parse(url.includes('://') ? url : `http://${url}`)
  return parsed === null ? 'what is no URL' : parsed.host
}
