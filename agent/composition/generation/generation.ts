import { join } from 'node:path'

import { createArtifactWorker, type ArtifactWorker } from '../../artifacts/artifact-worker.ts'
import { Transfers } from '../../artifacts/transfer/transfers.ts'
import { createCloudWatchLogDestination } from '../../aws/cloudwatch-log-destination.ts'
import { createS3ArtifactSource } from '../../aws/s3-artifact-source.ts'
import { createSecretsManagerReader } from '../../aws/secrets-manager-reader.ts'
import type { CameraFile } from '../../cameras/camera-file.ts'
import { CameraFiles } from '../../cameras/camera-files.ts'
import { systemGroups } from '../../cameras/camera-groups.ts'
import { HookCalls } from '../../cameras/camera-hooks.ts'
import { CameraWorker } from '../../cameras/camera-worker.ts'
import { serveLastCredentials } from '../../cameras/last-credentials.ts'
import { rtspProbe } from '../../cameras/rtsp/rtsp-probe.ts'
import type { Config } from '../../config/config-schema.ts'
import { deviceNames } from '../../config/device-names.ts'
import { ApplicationFiles } from '../../credentials/application-files.ts'
import { ApplicationWorker } from '../../credentials/application-worker.ts'
import type { CredentialsServer } from '../../credentials/credentials-server.ts'
import { createCameraHookRunner, createHookRunner } from './hook-runner.ts'
import { withDeadline } from '../../lib/abort.ts'
import type { Log } from '../../lib/log.ts'
import type { Worker } from '../../lib/worker.ts'
import type { LogRing } from '../../logs/log-ring.ts'
import type { LogCounts } from '../../logs/log-tally.ts'
import { createLogWorker, type LogWorker } from '../../logs/log-worker.ts'
import { waitingDestination, type LogAdmission } from '../../logs/delivery/waiting-destination.ts'
import { createLogSources } from '../../logs/log-sources.ts'
import { TrafficAdmission } from '../../network/traffic-admission.ts'
import type { TrafficMeter } from '../../network/traffic-meter.ts'
import type { Session } from '../session/session.ts'
import { createMetricsWorker } from '../../status/metrics-worker.ts'
import type { StatusDocument } from '../../status/status-document.ts'

export interface GenerationOptions {
  readonly config: Config
  readonly session: Session
  readonly log: Log
  readonly ring: LogRing
  /** Since the start of the agent. */
  readonly logCounts?: LogCounts | undefined
  readonly credentialsServer: CredentialsServer
  /** Of this boot, where systemd tells it. */
  readonly bootId?: string | undefined
  /** Which one it is, from 1 since the start. */
  readonly number: number
  /** Of the agent, once the generation is in use. */
  readonly status: () => StatusDocument
  /** What goes on from the generation before, because its part of the configuration is the same. */
  readonly kept?: Partial<KeptParts> | undefined
}

/** What of a generation can go on in the next one of the same session, as it runs. */
export interface KeptParts {
  readonly artifacts: readonly ArtifactWorker[]
  readonly cameras: Cameras
}

interface Cameras {
  readonly cameras: CameraWorker
  readonly cameraHooks: HookCalls
  readonly serveLast: Generation['serveLastCredentials']
}

/** A disk that does not answer holds up neither the start nor a reload for longer. */
const serveWithinMs = 10_000

/** The three workers, the one of the metrics, and all else that is built from one configuration. */
export interface Generation {
  readonly artifacts: readonly ArtifactWorker[]
  readonly cameras: CameraWorker
  readonly applications: ApplicationWorker
  readonly cameraHooks: HookCalls
  readonly logs: LogWorker
  readonly logGroup: string
  readonly workers: readonly Worker[]
  /** Ends the back-off of everything that fails: what it waited for may be there. */
  readonly retryNow: () => void
  /** Gives cameras without a file their last credentials. To be awaited before the workers run; never rejects. */
  readonly serveLastCredentials: (signal: AbortSignal) => Promise<void>
}

export function createGeneration(options: GenerationOptions): Generation {
  const { config, session, log, ring, kept = {} } = options
  const { clients, call, clock, network } = session
  const cloudNow = (): number => clock.now()
  const artifacts = kept.artifacts ?? createArtifacts(options)
  const { cameras, cameraHooks, serveLast } = kept.cameras ?? createCameras(options)
  const applications = createApplications(options)
  const names = deviceNames(config.device)
  const logGroup = `/aws/panorama/devices/${names.id}`
  const device = { ...names, thing: config.device.thingName }
  const logsLog = log.child({ worker: 'logs' })
  const { compression } = config.logs
  const logs = createLogWorker({
    config: config.logs,
    group: logGroup,
    sources: (context) => createLogSources({ config: config.logs, device, bootId: options.bootId }, context),
    destination: waitingDestination(
      createCloudWatchLogDestination({ client: clients.logs, call, compression, log: logsLog }),
      admissionOf(network.traffic),
    ),
    ring,
    counts: options.logCounts,
    folder: join(config.paths.state, 'logs'),
    cursorCopy: join(config.paths.runtime, 'log-cursors.json'),
    cloudNow,
    deviceClock: () => ({ offsetMs: clock.offsetMs(), isKnown: clock.lastKnownMs() !== undefined }),
    log: logsLog,
  })
  const workers = [
    ...artifacts.map(({ worker }) => worker),
    cameras.worker,
    applications.worker,
    ...(cameraHooks.status().length === 0 ? [] : [cameraHooks.worker]),
    logs.worker,
    ...metricsWorkers(options, logs),
  ]
  const retryNow = (): void => {
    retryFailing({ workers: [...workers, ...session.applicationRoles.workers], logs })
  }
  return {
    artifacts,
    cameras,
    cameraHooks,
    applications,
    logs,
    logGroup,
    workers,
    retryNow,
    serveLastCredentials: kept.cameras === undefined ? serveLast : () => Promise.resolve(), // they run
  }
}

/** Of log uploads, at the limit of the month. */
function admissionOf(traffic: TrafficMeter): LogAdmission {
  const admission = new TrafficAdmission(traffic)
  return {
    check: () => {
      traffic.check()
    },
    admit: (maxBytes, signal) => admission.admit(maxBytes, signal),
  }
}

function createArtifacts({ config, session, log }: GenerationOptions): readonly ArtifactWorker[] {
  const { clients, call, clock, network } = session
  const cloudNow = (): number => clock.now()
  const transfers = new Transfers({
    limits: config.downloads,
    artifacts: config.artifacts.length,
    cloudNow,
    msUntilAllowed: () => network.traffic.msUntilAllowed(),
  })
  return config.artifacts.map((artifact) =>
    createArtifactWorker({
      artifact,
      source: createS3ArtifactSource({
        client: clients.s3,
        call,
        accessPoint: artifact.accessPoint,
        prefix: artifact.prefix,
      }),
      folder: join(config.paths.state, 'artifacts', artifact.name),
      transfers,
      cloudNow,
      runHook: createHookRunner(session.rootRequests),
      log,
    }),
  )
}

function createCameras({ config, session, log: parent }: GenerationOptions): Cameras {
  const { cameras: section, device, paths } = config
  const { clients, call, clock, sealedCameras: copies } = session
  const log = parent.child({ worker: 'cameras' })
  const files = new CameraFiles(join(paths.runtime, 'cameras'))
  const groups = systemGroups()
  const cameraHooks = new HookCalls({
    cameras: section,
    files,
    runHook: createCameraHookRunner(session.rootRequests),
    toldFile: join(paths.runtime, 'camera-hooks.json'),
    log: parent.child({ worker: 'camera-hooks' }),
  })
  const cameras = new CameraWorker({
    cameras: section,
    thingName: device.thingName,
    reader: createSecretsManagerReader({ client: clients.secretsManager, call }),
    probe: rtspProbe(),
    files,
    copies,
    groups,
    hooks: cameraHooks,
    ledgerPath: join(paths.state, 'cameras', 'refusals.json'),
    cloudNow: () => clock.now(),
    log,
  })
  const onFile = (name: string, file: CameraFile): void => {
    cameras.hasFile(name, file)
  }
  const serveLast = async (signal: AbortSignal): Promise<void> => {
    const deadline = { signal, withinMs: serveWithinMs, what: 'serving the last credentials of cameras' }
    await withDeadline(deadline, (inner) =>
      serveLastCredentials({ cameras: section, files, copies, groups, onFile, log }, inner),
    ).catch((error: unknown) => {
      if (!signal.aborted) log.warn('cameras do not all have their last credentials', { error })
    })
  }
  return { cameras, cameraHooks, serveLast }
}

function createApplications({ config, session, log, credentialsServer }: GenerationOptions): ApplicationWorker {
  const { applications, applicationCredentials, device, paths } = config
  const { port } = applicationCredentials
  return new ApplicationWorker({
    applications,
    port,
    files: new ApplicationFiles({ folder: join(paths.runtime, 'applications'), port, region: device.region }),
    groups: systemGroups({ field: 'applications[].group' }),
    roles: session.applicationRoles,
    server: credentialsServer,
    log: log.child({ worker: 'applications' }),
  })
}

function metricsWorkers(
  { config, session, log, number, status }: GenerationOptions,
  logs: Pick<LogWorker, 'offerMetrics'>,
): readonly Worker[] {
  if (!config.metrics.enabled) return []
  const metrics = createMetricsWorker({
    config: config.metrics,
    status,
    generation: number,
    stateFolder: config.paths.state,
    clock: session.clock,
    offer: (record) => {
      logs.offerMetrics(record)
    },
    log: log.child({ worker: 'metrics' }),
  })
  return [metrics]
}

/** Ends the back-off of every worker that fails and of every log stream. What they run into is theirs to report. */
export function retryFailing({ workers, logs }: Pick<Generation, 'workers' | 'logs'>): void {
  logs.retryNow()
  for (const worker of workers) {
    if (worker.health().state === 'failing') worker.requestPass().catch(() => undefined)
  }
}
