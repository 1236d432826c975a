import type { LookupFunction } from 'node:net'

import { Dialer } from './aws/dialer.ts'
import type { Trust } from './aws/trust.ts'
import type { Config } from './config/config-schema.ts'
import { ByteCounter } from './lib/byte-counter.ts'
import type { Log } from './lib/log.ts'
import { isThisMachine, proxyFor } from './network/proxy-for.ts'
import { proxySettings, type ProxyEnvironment, type ProxyServer } from './network/proxy-settings.ts'

/** The way to the cloud of one session. */
export interface SessionNetwork {
  /** Every connection but MQTT is made by it. */
  readonly dialer: Dialer
  readonly counter: ByteCounter
  /** That connections go by which are no exceptions. */
  readonly proxy: ProxyServer | undefined
  /** Whom the services are trusted by, and a proxy that is spoken to by TLS. */
  readonly serviceTrust: () => Promise<Trust>
}

/** What tests put in the place of the real thing. */
export interface SessionNetworkOverrides {
  readonly lookup?: LookupFunction
  /** Where a portal is looked for, for every host. */
  readonly portalPort?: number
}

export interface SessionNetworkOptions {
  readonly config: Config
  readonly log: Log
  readonly overrides?: SessionNetworkOverrides
  readonly proxyEnvironment?: ProxyEnvironment | undefined
  readonly serviceTrust: () => Promise<Trust>
}

const httpPort = 80

/** Throws an AgentError when the environment names a proxy that is none. */
export function createSessionNetwork(options: SessionNetworkOptions): SessionNetwork {
  const { config, log, overrides = {}, proxyEnvironment = {}, serviceTrust } = options
  const settings = proxySettings(config.network, proxyEnvironment)
  if (settings.unusable.length > 0) log.warn('entries of NO_PROXY mean nothing', { entries: settings.unusable })
  const counter = new ByteCounter()
  const dialer = new Dialer({
    proxyFor: (host, port) => proxyFor(host, port, settings),
    proxyTrust: serviceTrust,
    lookup: overrides.lookup,
    counter,
    portalPort: (host) => overrides.portalPort ?? (isThisMachine(host) ? undefined : httpPort),
  })
  return { dialer, counter, proxy: settings.proxy, serviceTrust }
}
