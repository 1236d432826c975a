import type { PartStatus, StatusDocument } from './status-document.ts'

/** JSON that a shadow takes; instants are ISO 8601 in cloud time. */
export type ReportedState = Readonly<Record<string, unknown>>

/**
 * How large the document may get: a shadow takes 8 KB ("AWS IoT Device Shadow limits"), metadata apart, and what this one
 * costs in transfers and fleet indexing goes with its size.
 */
export const maxReportedBytes = 7_168
const releaseDigits = 12
const maxReasonLength = 160
const detailLevels = [100, 20, 5, 0]

/**
 * What the fleet's operators see of an appliance: scalars at paths that stay, detail for what is not well alone, and instants,
 * never ages, so that nothing changes by itself. Where it would get too large, details go first.
 */
export function reportedState(status: StatusDocument): ReportedState {
  const [first = 0, ...rest] = detailLevels
  let state = withDetails(status, first)
  for (const most of rest) {
    if (bytesOf(state) <= maxReportedBytes) break
    state = withDetails(status, most)
  }
  return state
}

/** The same start, told by a clock that was read a little differently. */
const sameStartMs = 2_000

/**
 * A state with the start of the agent as it was reported before, where it is the same: an instant that is worked out anew each
 * time moves by milliseconds, and would be news for ever.
 */
export function withSteadyStart(state: ReportedState, reported: ReportedState): ReportedState {
  const before = startOf(reported)
  const apartMs = Math.abs(Date.parse(startOf(state) ?? '') - Date.parse(before ?? ''))
  if (before === undefined || !(apartMs < sameStartMs)) return state
  return { ...state, agent: { ...agentOf(state), startedAt: before } }
}

function startOf(state: ReportedState): string | undefined {
  const { startedAt } = agentOf(state)
  return typeof startedAt === 'string' ? startedAt : undefined
}

function agentOf({ agent }: ReportedState): Readonly<Record<string, unknown>> {
  return typeof agent === 'object' && agent !== null ? { ...agent } : {}
}

/** What is told at once when it changes. The rest can wait. */
export function healthOf(state: ReportedState): string {
  const { health, workers, configuration, cameras, artifacts, certificate, traffic, update } = state
  return JSON.stringify({ health, workers, configuration, cameras, artifacts, certificate, traffic, update })
}

function withDetails(status: StatusDocument, most: number): ReportedState {
  const { agent, artifacts, cameras, logs, identity, credentials, configuration, network, update } = status
  const workers = {
    credentials: worst(credentials),
    artifacts: worst(artifacts),
    cameras: worst(cameras),
    logs: logs.state,
  }
  return {
    agent: { version: agent.version, startedAt: agent.startedAt },
    ...(configuration === undefined ? {} : { configuration: configurationOf(configuration) }),
    ...(update === undefined ? {} : { update: updateOf(update) }),
    health: healthOfAll([...Object.values(workers), ...status.overdue.map(() => 'failing')]),
    workers,
    artifacts: Object.fromEntries(
      notWellFirst(artifacts)
        .slice(0, most)
        .map((artifact) => [artifact.name, artifactOf(artifact)]),
    ),
    artifactCount: artifacts.length,
    cameras: camerasOf(cameras, most),
    logs: { lost: logs.lost, lostBytes: logs.lostBytes, gapsPending: logs.gapsPending },
    ...(network?.traffic.maxBytes === undefined ? {} : { traffic: trafficOf(network.traffic) }),
    certificate: certificateOf(identity),
  }
}

/**
 * `leftOver` are the certificates that somebody has to deactivate, by the ids that AWS IoT has for them; `deactivate` and `orphan` those
 * of the last rotation alone. They are few, and nobody else knows them: they stay whatever else has to go.
 */
function certificateOf({ certificateExpiresAt, rotation, leftOver = [] }: StatusDocument['identity']): object {
  const { state, at, deactivate, orphan } = rotation ?? {}
  return {
    ...(certificateExpiresAt === undefined ? {} : { expiresAt: certificateExpiresAt }),
    ...(state === undefined ? {} : { rotation: state, rotationAt: at }),
    ...(deactivate === undefined ? {} : { deactivate }),
    ...(orphan === undefined ? {} : { orphan }),
    ...(leftOver.length === 0
      ? {}
      : {
          leftOverCount: leftOver.length,
          leftOver: Object.fromEntries(leftOver.map(({ certificateId, why }) => [certificateId, why])),
        }),
  }
}

function configurationOf({ version, digest, state }: NonNullable<StatusDocument['configuration']>): object {
  return { version, digest: digest.slice(0, releaseDigits), state }
}

/** Until when a trial lasts is left out, as of the configuration: it is worked out anew each time, and would be news for ever. */
function updateOf({ trial, last }: NonNullable<StatusDocument['update']>): object {
  if (trial !== undefined) return { state: 'trial', from: trial.from, to: trial.to }
  const { outcome: state, from, to, at, reason } = last ?? {}
  return {
    state,
    from,
    to,
    ...(at === undefined ? {} : { at }),
    ...(reason === undefined ? {} : { reason: reason.slice(0, maxReasonLength) }),
  }
}

/** Not the bytes: they change all the time. */
function trafficOf({ state, until }: NonNullable<StatusDocument['network']>['traffic']): object {
  return { state, ...(until === undefined ? {} : { until }) }
}

function artifactOf({ state, releaseId, manifest, since }: StatusDocument['artifacts'][number]): object {
  return {
    state,
    ...(releaseId === undefined ? {} : { release: releaseId.slice(0, releaseDigits) }),
    ...(manifest === undefined ? {} : { version: manifest.version.slice(0, 64) }),
    ...(isWell(state) || since === undefined ? {} : { since }),
  }
}

/** One that is not well may have an older credential than its secret holds. */
function camerasOf(cameras: StatusDocument['cameras'], most: number): object {
  const notWell = cameras.filter(({ state }) => !isWell(state))
  return {
    total: cameras.length,
    notWell: notWell.length,
    lagging: notWell.filter(({ state }) => state === 'pending' || state === 'failing').length,
    ...(notWell.length === 0 || most === 0
      ? {}
      : { details: Object.fromEntries(notWell.slice(0, most).map(cameraOf)) }),
  }
}

function cameraOf({ name, state, versionId, since }: StatusDocument['cameras'][number]): [string, object] {
  return [
    name,
    {
      state,
      ...(versionId === undefined ? {} : { versionId: versionId.slice(0, releaseDigits) }),
      ...(since === undefined ? {} : { since }),
    },
  ]
}

function notWellFirst<T extends { readonly state: string }>(parts: readonly T[]): readonly T[] {
  return [...parts.filter(({ state }) => !isWell(state)), ...parts.filter(({ state }) => isWell(state))]
}

function isWell(state: string): boolean {
  return state === 'ok' || state === 'starting'
}

function worst(parts: readonly PartStatus[]): string {
  return healthOfAll(parts.map(({ state }) => state))
}

function healthOfAll(states: readonly string[]): string {
  if (states.some((state) => !isWell(state))) return 'failing'
  return states.includes('starting') ? 'starting' : 'ok'
}

function bytesOf(state: ReportedState): number {
  return Buffer.byteLength(JSON.stringify(state))
}
