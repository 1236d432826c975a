import type { LookupFunction } from 'node:net'

import { Dialer } from '../../aws/dialer.ts'
import { createServiceTrust, type Trust } from '../../aws/trust.ts'
import type { UnprovisionedConfig } from '../../config/config-schema.ts'
import { readRootCa } from '../../identity/identity.ts'
import { ByteCounter } from '../../lib/byte-counter.ts'
import { isThisMachine, proxyFor } from '../../network/proxy-for.ts'
import { proxySettings, type ProxyEnvironment, type ProxyServer } from '../../network/proxy-settings.ts'

/** How everything gets to the cloud, before there is an identity as after. */
export interface WayToCloud {
  /** Every connection but MQTT is made by it. */
  readonly dialer: Dialer
  readonly counter: ByteCounter
  /** That connections go by which are no exceptions. */
  readonly proxy: ProxyServer | undefined
  /** Entries of `NO_PROXY` that mean nothing. */
  readonly unusable: readonly string[]
  /** Whom the services are trusted by, and a proxy that is spoken to by TLS. */
  readonly serviceTrust: () => Promise<Trust>
}

/** What tests put in the place of the real thing. */
export interface WayOverrides {
  readonly lookup?: LookupFunction | undefined
  /** Where a portal is looked for, for every host. */
  readonly portalPort?: number
}

export interface WayOptions {
  readonly config: Pick<UnprovisionedConfig, 'network' | 'identity'>
  readonly overrides?: WayOverrides | undefined
  readonly proxyEnvironment?: ProxyEnvironment | undefined
}

const httpPort = 80

/** Throws an AgentError when the environment names a proxy that is none. */
export function createWayToCloud({ config, overrides = {}, proxyEnvironment = {} }: WayOptions): WayToCloud {
  const settings = proxySettings(config.network, proxyEnvironment)
  const serviceTrust = createServiceTrust(async () => await readRootCa(config.identity.rootCa))
  const counter = new ByteCounter()
  const dialer = new Dialer({
    proxyFor: (host, port) => proxyFor(host, port, settings),
    proxyTrust: serviceTrust,
    lookup: overrides.lookup,
    counter,
    portalPort: (host) => overrides.portalPort ?? (isThisMachine(host) ? undefined : httpPort),
  })
  return { dialer, counter, proxy: settings.proxy, unusable: settings.unusable, serviceTrust }
}
