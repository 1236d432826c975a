import { pass, warn, type Check } from './doctor-check.ts'

/** A proxy that is named somewhere, and whether the agent goes by it. */
export interface NamedProxy {
  /** Such as `HTTPS_PROXY of panorama-agent.service`. */
  readonly where: string
  /** Host and port, without user name and password. */
  readonly proxy: string
  readonly isUsed: boolean
}

export function proxyCheck(read: (signal: AbortSignal) => Promise<readonly NamedProxy[]>): Check {
  return {
    id: 'proxy',
    name: 'proxy',
    withinMs: 8_000,
    run: async (signal) => {
      const named = await read(signal)
      if (named.length === 0) return [pass('none is named: the agent connects directly')]
      return named.map(({ where, proxy, isUsed }) =>
        isUsed
          ? pass(`${proxy}, by ${where}`)
          : warn(
              `${where} names ${proxy}, which this version does not go by: it connects directly`,
              'let the appliance reach its endpoints by TCP 443 and 8883 without the proxy',
            ),
      )
    },
  }
}

/** Host and port of a proxy's URL, whatever else is in it. */
export function proxyPlace(url: string): string {
  const parsed = URL.parse(url.includes('://') ? url : `http://${url}`)
  return parsed === null ? 'what is no URL' : parsed.host
}
