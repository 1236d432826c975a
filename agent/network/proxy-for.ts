import type { ProxyServer, ProxySettings } from './proxy-settings.ts'

/**
 * The proxy by which a connection goes; undefined for one that goes straight. What is on this machine (`localhost`, names
 * below it, 127.0.0.0/8 and ::1) never goes by a proxy. `host` is a name, or an address with or without brackets.
 */
export function proxyFor(
  host: string,
  port: number,
  { proxy, noProxy }: Pick<ProxySettings, 'proxy' | 'noProxy'>,
): ProxyServer | undefined {
  if (proxy === undefined) return undefined
  const asked = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
  if (isThisMachine(asked)) return undefined
  const isExcepted = noProxy.some((rule) => (rule.port ?? port) === port && rule.matches(asked))
  return isExcepted ? undefined : proxy
}

/** By name or address, without asking a resolver. */
export function isThisMachine(host: string): boolean {
  return /^(([a-z0-9_-]+\.)*localhost\.?|127(\.\d{1,3}){3}|::1|\[::1\]|::ffff:127(\.\d{1,3}){3})$/i.test(host)
}
