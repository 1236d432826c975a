import type { LookupFunction } from 'node:net'

import { Dialer } from './aws/dialer.ts'
import type { Trust } from './aws/trust.ts'
import type { Config } from './config/config-schema.ts'
import type { ServerClock } from './credentials/server-clock.ts'
import { ByteCounter } from './lib/byte-counter.ts'
import type { Log } from './lib/log.ts'
import { isThisMachine, proxyFor } from './network/proxy-for.ts'
import { TrafficMeter } from './network/traffic-meter.ts'
import { proxySettings, type ProxyEnvironment, type ProxyServer } from './network/proxy-settings.ts'

/** The way to the cloud of one session. */
export interface SessionNetwork extends AsyncDisposable {
  /** Every connection but MQTT is made by it. */
  readonly dialer: Dialer
  readonly counter: ByteCounter
  readonly traffic: TrafficMeter
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
  readonly clock: Pick<ServerClock, 'now' | 'lastKnownMs'>
}

const httpPort = 80

/** Throws an AgentError when the environment names a proxy that is none. */
export async function createSessionNetwork(options: SessionNetworkOptions): Promise<SessionNetwork> {
  const { config, log, overrides = {}, proxyEnvironment = {}, serviceTrust, clock } = options
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
  const traffic = await TrafficMeter.open({
    folder: config.paths.state,
    counter,
    clock: { now: () => clock.now(), isKnown: () => clock.lastKnownMs() !== undefined },
    maxBytesPerMonth: config.network.maxBytesPerMonth,
    log: log.child({ worker: 'traffic' }),
  })
  return {
    dialer,
    counter,
    traffic,
    proxy: settings.proxy,
    serviceTrust,
    async [Symbol.asyncDispose]() {
      await traffic.save().catch((error: unknown) => {
        log.warn('the count of bytes cannot be kept', { error })
      })
    },
  }
}
