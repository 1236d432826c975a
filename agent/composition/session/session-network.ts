import type { UnprovisionedConfig } from '../../config/config-schema.ts'
import type { ServerClock } from '../../credentials/server-clock.ts'
import type { Log } from '../../lib/log.ts'
import { TrafficMeter } from '../../network/traffic-meter.ts'
import { createWayToCloud, type WayOptions, type WayToCloud } from './way-to-cloud.ts'

/** The way to the cloud of one session, or of a first boot, with its traffic counted. */
export interface SessionNetwork extends WayToCloud, AsyncDisposable {
  readonly traffic: TrafficMeter
}

export interface SessionNetworkOptions extends WayOptions {
  readonly config: Pick<UnprovisionedConfig, 'network' | 'identity' | 'paths'>
  readonly log: Log
  readonly clock: Pick<ServerClock, 'now' | 'lastKnownMs'>
}

/** Throws an AgentError when the environment names a proxy that is none. */
export async function createSessionNetwork(options: SessionNetworkOptions): Promise<SessionNetwork> {
  const { config, log, clock } = options
  const way = createWayToCloud(options)
  if (way.unusable.length > 0) log.warn('entries of NO_PROXY mean nothing', { entries: way.unusable })
  const traffic = await TrafficMeter.open({
    folder: config.paths.state,
    counter: way.counter,
    clock: { now: () => clock.now(), isKnown: () => clock.lastKnownMs() !== undefined },
    maxBytesPerMonth: config.network.maxBytesPerMonth,
    log: log.child({ worker: 'traffic' }),
  })
  return {
    ...way,
    traffic,
    async [Symbol.asyncDispose]() {
      await traffic.save().catch((error: unknown) => {
        log.warn('the count of bytes cannot be kept', { error })
      })
    },
  }
}
