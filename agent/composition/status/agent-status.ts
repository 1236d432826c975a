import type { ArtifactProgress } from '../../artifacts/artifact-status.ts'
import { agentVersion } from '../../build-info.ts'
import type { Config } from '../../config/config-schema.ts'
import { deviceNames } from '../../config/device-names.ts'
import type { Control, ControlFault } from '../control/control.ts'
import type { RoleCredentials } from '../../credentials/role-credentials.ts'
import type { Generation } from '../generation/generation.ts'
import { reportError } from '../../lib/errors.ts'
import { shownProxy } from '../../network/proxy-settings.ts'
import type { TrafficPausedError } from '../../network/traffic-meter.ts'
import { cameraParts, cameraSecretsPart, cameraStoreParts } from './camera-status.ts'
import { rotationParts, type RotationSources } from './rotation-status.ts'
import type { Session } from '../session/session.ts'
import type {
  ApplicationPart,
  ArtifactPart,
  ConfigurationPart,
  CredentialsPart,
  JobPart,
  LogsPart,
  PartStatus,
  StatusDocument,
} from '../../status/status-document.ts'
import { errorPart, workerPart, type ToInstant } from './part-status.ts'
import { updateParts } from './update-status.ts'

export interface StatusSources {
  readonly config: Config
  readonly session: Session
  readonly generation: Generation
  /** When the agent started, on the monotonic clock. */
  readonly startedMs: number
  readonly configuration?: ConfigurationPart | undefined
  /** Of the configuration, on the monotonic clock. */
  readonly trialEndsMs?: number | undefined
  readonly control?: Control | undefined
  /** Why there is none, where there should be one. */
  readonly controlFault?: ControlFault | undefined
  readonly rotation?: RotationSources | undefined
}

/** Puts together what every part knows about itself. */
export function composeStatus(sources: StatusSources): StatusDocument {
  const { config, session, generation, startedMs, control } = sources
  const { clock, credentials } = session
  const at: ToInstant = (monotonicMs) => new Date(clock.timeOf(monotonicMs)).toISOString()
  const workers = [
    ...session.workers,
    ...session.applicationRoles.workers,
    ...(control?.workers ?? []),
    ...generation.workers,
  ]
  return {
    version: 1,
    agent: { version: agentVersion, pid: process.pid, startedAt: at(startedMs) },
    device: { thingName: config.device.thingName, ...deviceNames(config.device), region: config.device.region },
    ...configurationParts(sources, at),
    ...updateParts(session.updates.known, at),
    clock: clockPart(session, at),
    network: networkPart(session),
    identity: { ...identityPart(session, at), ...rotationParts(sources.rotation) },
    credentials: credentials.map((each) => credentialsPart(each, at)),
    artifacts: artifactParts(generation, at),
    cameras: cameraParts(generation, at),
    applications: applicationParts(generation, at),
    ...cameraSecretsPart(generation, at),
    ...cameraStoreParts({ config, session, generation, at }),
    ...(control === undefined ? faultParts(sources.controlFault, at) : controlParts(control, at)),
    logs: logsPart(sources, at),
    overdue: workers.filter((worker) => worker.overdueMs() > 0).map(({ name }) => name),
  }
}

function configurationParts(
  { configuration, trialEndsMs }: StatusSources,
  at: ToInstant,
): Pick<StatusDocument, 'configuration'> {
  if (configuration === undefined) return {}
  return { configuration: { ...configuration, ...(trialEndsMs === undefined ? {} : { until: at(trialEndsMs) }) } }
}

export function clockPart(
  { clock, clockStep }: Pick<Session, 'clock' | 'clockStep'>,
  at: ToInstant,
): StatusDocument['clock'] {
  const step = clockStep.status()
  return {
    now: new Date(clock.now()).toISOString(),
    offsetSeconds: Math.round(clock.offsetMs() / 1000),
    known: clock.lastKnownMs() !== undefined,
    ...(step === undefined ? {} : { lastStep: { result: step.result, code: step.code, at: at(step.atMs) } }),
  }
}

function networkPart({ network: { proxy, traffic } }: Session): NonNullable<StatusDocument['network']> {
  const { month, bytes, maxBytes, state, pausedUntilMs } = traffic.status()
  return {
    ...(proxy === undefined ? {} : { proxy: shownProxy(proxy) }),
    traffic: {
      month,
      bytes,
      state,
      ...(maxBytes === undefined ? {} : { maxBytes }),
      ...(pausedUntilMs === undefined ? {} : { until: new Date(pausedUntilMs).toISOString() }),
    },
  }
}

/** The identity is read anew whenever credentials are fetched. */
function identityPart({ identity, credentials }: Session, at: ToInstant): StatusDocument['identity'] {
  const { sinceMs, ...status } = identity.status()
  const nextPassMs = credentials[0]?.worker.health().nextPassMs
  return { ...status, since: at(sinceMs), ...(nextPassMs === undefined ? {} : { nextAttemptAt: at(nextPassMs) }) }
}

function credentialsPart(credentials: RoleCredentials, at: ToInstant): CredentialsPart {
  const { fetches, held } = credentials.status()
  return {
    name: credentials.worker.name,
    ...workerPart(credentials.worker.health(), at),
    fetches,
    ...(held === undefined ? {} : { expiresAt: at(held.expiresMs) }),
  }
}

function artifactParts({ artifacts }: Generation, at: ToInstant): readonly ArtifactPart[] {
  return artifacts.map((artifact) => {
    const { releaseId, manifest, installedAtMs, waitsUntilMs, progress, ...more } = artifact.status()
    const { isHeld, health, quarantined, verification, ...rest } = more
    return {
      ...workerPart(artifact.worker.health(), at),
      ...rest,
      ...(isHeld ? { held: true } : {}),
      ...(health === undefined ? {} : { health }),
      ...(quarantined.length === 0 ? {} : { quarantined }),
      ...(releaseId === undefined ? {} : { releaseId }),
      ...(manifest === undefined ? {} : { manifest }),
      ...(installedAtMs === undefined ? {} : { installedAt: new Date(installedAtMs).toISOString() }),
      ...(waitsUntilMs === undefined ? {} : { waitsUntil: new Date(waitsUntilMs).toISOString() }),
      ...(progress === undefined ? {} : { progress: progressPart(progress) }),
      ...(verification === undefined ? {} : { verification }),
    }
  })
}

function progressPart({
  bytesPerSecond,
  remainingSeconds,
  ...progress
}: ArtifactProgress): NonNullable<ArtifactPart['progress']> {
  return {
    ...progress,
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
    ...(remainingSeconds === undefined ? {} : { remainingSeconds }),
  }
}

function applicationParts({ applications }: Generation, at: ToInstant): readonly ApplicationPart[] {
  return applications.status().map(({ name, state, sinceMs, expiresMs, role, served, lastError, nextAttemptMs }) => ({
    name,
    state,
    since: at(sinceMs),
    served,
    ...(role === undefined ? {} : { role }),
    ...(expiresMs === undefined ? {} : { expiresAt: at(expiresMs) }),
    ...(lastError === undefined ? {} : { lastError: errorPart(lastError, at) }),
    ...(nextAttemptMs === undefined ? {} : { nextAttemptAt: at(nextAttemptMs) }),
  }))
}

function faultParts(fault: ControlFault | undefined, at: ToInstant): Pick<StatusDocument, 'connection' | 'jobs'> {
  if (fault === undefined) return {}
  const part = { since: at(fault.sinceMs), lastError: reportError(fault.error) }
  return { connection: { state: 'down', ...part }, jobs: { state: 'failing', ...part, unreported: 0 } }
}

function controlParts(
  { connection, jobs }: Control,
  at: ToInstant,
): Required<Pick<StatusDocument, 'connection' | 'jobs'>> {
  const { state, sinceMs, error } = connection()
  const { current, last, unreported } = jobs.status()
  const jobPart = (job: NonNullable<typeof current>): JobPart => {
    const { atMs, ...said } = job
    return { ...said, at: at(atMs) }
  }
  return {
    connection: { state, since: at(sinceMs), ...(error === undefined ? {} : { lastError: reportError(error) }) },
    jobs: {
      ...workerPart(jobs.worker.health(), at),
      ...(current === undefined ? {} : { current: jobPart(current) }),
      ...(last === undefined ? {} : { last: jobPart(last) }),
      unreported,
    },
  }
}

const pausedName: TrafficPausedError['name'] = 'TrafficPausedError'

function logsPart({ generation, session }: StatusSources, at: ToInstant): LogsPart {
  const { logs, logGroup } = generation
  const { sources, failures, ...counts } = logs.status()
  const { pausedUntilMs } = session.network.traffic.status()
  // whoever is paused looks all the time, and nothing comes of it before then
  const until = (isPaused: boolean): Pick<PartStatus, 'nextAttemptAt'> =>
    isPaused && pausedUntilMs !== undefined ? { nextAttemptAt: new Date(pausedUntilMs).toISOString() } : {}
  return {
    ...workerPart(logs.worker.health(), at),
    ...until(failures.length > 0 && failures.every((name) => name === pausedName)),
    group: logGroup,
    ...counts,
    sources: sources.map(({ lastAcceptedAtMs, sinceMs, nextAttemptMs, ...source }) => ({
      ...source,
      ...(sinceMs === undefined ? {} : { since: at(sinceMs) }),
      ...(nextAttemptMs === undefined ? {} : { nextAttemptAt: at(nextAttemptMs) }),
      ...until(source.lastError?.name === pausedName),
      ...(lastAcceptedAtMs === undefined ? {} : { lastAcceptedAt: at(lastAcceptedAtMs) }),
    })),
  }
}
