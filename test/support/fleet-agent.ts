import { join } from 'node:path'

import { createIotCore, type IotCore } from '../../agent/aws/iot-core.ts'
import { loadConfig } from '../../agent/config/load-config.ts'
import { JobLedger } from '../../agent/jobs/job-ledger.ts'
import { JobsWorker } from '../../agent/jobs/jobs-worker.ts'
import { monotonicMs } from '../../agent/lib/monotonic.ts'
import type { IotCloud } from '../cloud/iot/iot-cloud.ts'
import { createApplianceFiles } from './appliance-files.ts'
import { openSession, type OpenSession } from './cloud-session.ts'
import { FakeJobActions } from './fake-job-actions.ts'
import { running } from './running-worker.ts'

export interface FleetAgentOptions {
  readonly cloud: IotCloud
  readonly folder: string
  readonly thingName: string
  readonly pollSeconds: number
}

/**
 * What of an agent asks the cloud by itself: the session with its credentials, the connection with its jobs, whose actions
 * are fakes, and the worker of one artifact. Many of them fit in one process.
 */
export class FleetAgent implements AsyncDisposable {
  readonly thingName: string
  readonly actions = new FakeJobActions()
  readonly #opened: OpenSession
  readonly #core: IotCore
  readonly #owned: AsyncDisposableStack

  private constructor(thingName: string, opened: OpenSession, parts: { core: IotCore; owned: AsyncDisposableStack }) {
    this.thingName = thingName
    this.#opened = opened
    this.#core = parts.core
    this.#owned = parts.owned
  }

  static async start({ cloud, folder, thingName, pollSeconds }: FleetAgentOptions): Promise<FleetAgent> {
    await using resources = new AsyncDisposableStack()
    const artifact = { name: 'model', accessPoint: cloud.names.accessPointArn, prefix: 'model/', pollSeconds }
    const files = await createApplianceFiles({ cloud, folder, thingName, config: { artifacts: [artifact] } })
    const config = await loadConfig(files.configFile)
    const opened = resources.use(await openSession(config, { minCredentialIntervalMs: 0 }))
    const { session, generation, base, log } = opened
    base.onRenewed(() => {
      generation.retryNow()
    })
    for (const { worker } of generation.artifacts) resources.use(running(worker))
    const core = resources.use(
      createIotCore({
        endpoint: cloud.endpoints.mqtt,
        clientId: thingName,
        keepAliveSeconds: config.jobs.keepAliveSeconds,
        loadIdentity: () => session.identity.load(),
        clockOffsetMs: () => session.clock.offsetMs(),
        dialer: session.network.dialer,
        serviceTrust: session.network.serviceTrust,
        log,
      }),
    )
    const owned = resources.move()
    const agent = new FleetAgent(thingName, opened, { core, owned })
    const ledger = new JobLedger({ folder: join(config.paths.state, 'jobs'), log })
    const jobs = owned.use(new JobsWorker({ service: core.jobs, ledger, actions: agent.actions, log }))
    owned.use(running(jobs.worker))
    return agent
  }

  get hasCredentials(): boolean {
    return this.#opened.base.status().held !== undefined
  }

  get isConnected(): boolean {
    return this.#core.status().state === 'connected'
  }

  /** Whether the artifact was looked for since, and found. */
  hasSynced(sinceMs = 0): boolean {
    return this.#opened.generation.artifacts.every(({ worker }) => {
      const { state, lastGoodPassMs = -Infinity } = worker.health()
      return state === 'ok' && lastGoodPassMs >= sinceMs
    })
  }

  /** As when they end. */
  loseCredentials(): void {
    const { base } = this.#opened
    base.invalidate(base.currentKeyId())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }

  /** On the clock of `hasSynced`. */
  static nowMs(): number {
    return monotonicMs()
  }
}
