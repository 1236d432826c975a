import { agentVersion } from '../../build-info.ts'
import { createProvisioner } from './claim-provisioner.ts'
import { identityFolderIn } from '../../config/base-document.ts'
import type { UnprovisionedConfig } from '../../config/config-schema.ts'
import { ConsoleMessage } from './console-message.ts'
import type { Patience } from '../../identity/claim-proof.ts'
import { LeftOverCertificates } from '../../identity/left-over-certificates.ts'
import { linkedAbort } from '../../lib/abort.ts'
import type { Backoff } from '../../lib/backoff.ts'
import { AgentError } from '../../lib/errors.ts'
import type { RootLog } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import type { ProxyEnvironment } from '../../network/proxy-settings.ts'
import { superviseAll, type Worker } from '../../lib/worker.ts'
import { clockPart } from '../status/agent-status.ts'
import { workerPart } from '../status/part-status.ts'
import { createProvisioningWorker, type ProvisioningWorker } from './provisioning-worker.ts'
import { recentLogs, type RecentLogsSources } from '../control/recent-logs.ts'
import type { Service } from '../service.ts'
import { createSessionClock, type SessionClock } from '../session/session-clock.ts'
import { createSessionNetwork } from '../session/session-network.ts'
import type { SessionOverrides } from '../session/session.ts'
import { lockState, makeFolders } from '../session/state-folders.ts'
import { socketPathIn } from '../../status/status-client.ts'
import type { UnprovisionedStatus } from '../../status/status-document.ts'
import { startStatusServer, type LocalRequests } from '../../status/status-server.ts'

export interface FirstBootOptions {
  readonly config: UnprovisionedConfig
  readonly log: RootLog
  readonly service?: Pick<Service, 'ready'> | undefined
  /** The last lines of the agent's own log, for whoever asks for them. Never emptied. */
  readonly recent: RecentLogsSources['recent']
  /** Of proxies, where the configuration names none. */
  readonly proxyEnvironment?: ProxyEnvironment | undefined
  readonly overrides?: SessionOverrides & { readonly patience?: Patience; readonly backoff?: Backoff }
}

/**
 * Runs an appliance without identity, which is ready and answers for its status, until it has got one or `signal` aborts.
 * Rejects when folders, lock or socket cannot be had.
 */
export async function runFirstBoot(options: FirstBootOptions, signal: AbortSignal): Promise<void> {
  const { config, log, service, recent, overrides = {} } = options
  const { paths } = config
  const startedMs = monotonicMs()
  log.setLevel(config.logs.level)
  await using owned = new AsyncDisposableStack()
  await makeFolders(paths, log)
  owned.use(await lockState(paths.state, log))
  const time = await createSessionClock({ paths, log, releasedAtMs: overrides.releasedAtMs })
  const way = owned.use(await createSessionNetwork({ ...options, clock: time.clock }))
  using end = linkedAbort(signal)
  const provisioningLog = log.child({ worker: 'provisioning' })
  const { patience, backoff } = overrides
  const leftOver = new LeftOverCertificates({
    folder: identityFolderIn(paths.state),
    log: provisioningLog,
    now: () => time.clock.now(),
  })
  await leftOver.load().catch((error: unknown) => {
    provisioningLog.warn('which certificates are left over cannot be told', { error })
  })
  const provisioning = createProvisioningWorker({
    provision: createProvisioner({ config, clock: time.clock, log: provisioningLog, way, leftOver, patience }),
    console: new ConsoleMessage({ runtimeFolder: paths.runtime, log: provisioningLog }),
    log: provisioningLog,
    backoff,
    onProvisioned: () => {
      end.controller.abort(new AgentError('the appliance is provisioned'))
    },
  })
  const workers = [provisioning.worker, ...time.workers, way.traffic.worker]
  const status = (): UnprovisionedStatus =>
    composeUnprovisioned({ config, time, provisioning, leftOver, workers, startedMs })
  const requests = requestsWith({
    status,
    recentLogs: (after) => recentLogs({ recent, streams: undefined, clock: time.clock }, after),
  })
  owned.use(await startStatusServer({ socketPath: socketPathIn(paths.runtime), requests, log }))
  service?.ready({ workers: () => workers, status, runtimeFolder: paths.runtime })
  log.info('agent is ready, and waits for an identity', { pid: process.pid })
  await superviseAll(workers, end.controller.signal)
}

interface UnprovisionedSources {
  readonly config: UnprovisionedConfig
  readonly time: SessionClock
  readonly provisioning: ProvisioningWorker
  readonly leftOver: LeftOverCertificates
  readonly workers: readonly Worker[]
  readonly startedMs: number
}

function composeUnprovisioned(sources: UnprovisionedSources): UnprovisionedStatus {
  const { config, time, provisioning, leftOver, workers, startedMs } = sources
  const at = (moment: number): string => new Date(time.clock.timeOf(moment)).toISOString()
  const { template = '', claimCertificate: claim = '' } = config.provisioning ?? {}
  return {
    version: 1,
    agent: { version: agentVersion, pid: process.pid, startedAt: at(startedMs) },
    device: { region: config.device.region },
    clock: clockPart(time, at),
    provisioning: {
      ...workerPart(provisioning.worker.health(), at),
      step: provisioning.step(),
      template,
      claim,
      ...(leftOver.certificates.length === 0 ? {} : { leftOver: leftOver.certificates }),
    },
    overdue: workers.filter((worker) => worker.overdueMs() > 0).map(({ name }) => name),
  }
}

function requestsWith(answered: Pick<LocalRequests, 'status' | 'recentLogs'>): LocalRequests {
  const refuse = (): never => {
    throw new AgentError('the appliance is not provisioned', { hint: 'panorama-agent status says why' })
  }
  const refuseLater = async (): Promise<never> => await Promise.resolve().then(refuse)
  return {
    ...answered,
    configuration: refuse,
    sync: refuseLater,
    refresh: refuseLater,
    releases: refuse,
    verify: refuseLater,
    rollBack: refuseLater,
  }
}
