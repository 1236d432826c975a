import { bytesText } from '../lib/quantity-text.ts'
import { visibleText } from '../lib/terminal-text.ts'
import { cautionsOf } from './status-cautions.ts'
import { isUnprovisioned } from './render-unprovisioned.ts'
import type { ArtifactPart, PartStatus, RotationPart, StatusDocument, StatusReport } from './status-document.ts'
import { verdictOn } from './status-line.ts'
import { percentOf, transferText, type Transfer } from './transfer-bars.ts'

/** What was looked at. */
export interface Look {
  readonly status: StatusReport
  readonly transfers: readonly Transfer[]
}

const percentStep = 10
const clockStepMs = 5_000

/** What is news since the look before, a line each; at the first look how it is. Ages and plain counts are no news. */
export function changesOf(before: Look | undefined, { status, transfers }: Look): readonly string[] {
  const lines = [
    ...(isUnprovisioned(status) ? verdictChanges(before?.status, status) : provisionedChanges(before?.status, status)),
    ...transferChanges(before?.transfers ?? [], transfers),
  ]
  return lines.map(visibleText)
}

/** With an identity that was not there at the look before, the appliance is looked at for the first time. */
function provisionedChanges(report: StatusReport | undefined, status: StatusDocument): readonly string[] {
  const isNew = report !== undefined && isUnprovisioned(report)
  const before = report === undefined || isUnprovisioned(report) ? undefined : report
  return [
    ...(isNew ? [`provisioned as ${status.device.thingName}`] : []),
    ...verdictChanges(before, status),
    ...partChanges(before, status),
    ...artifactChanges(before?.artifacts, status.artifacts),
    ...jobChanges(before, status),
    ...lossChanges(before, status),
  ]
}

function verdictChanges(before: StatusReport | undefined, status: StatusReport): readonly string[] {
  const { text, toDo } = verdictOn(status)
  const known = new Set(before === undefined ? [] : cautionsOf(before))
  const notes = before === undefined ? cautionsOf(status) : cautionsOf(status).filter((note) => !known.has(note))
  const isNews = before === undefined || verdictOn(before).text !== text
  return [
    ...(isNews ? [text] : []),
    ...(isNews && toDo !== undefined ? [`to do: ${toDo}`] : []),
    ...(before === undefined ? notes.map((note) => `note: ${note}`) : []),
  ]
}

function partChanges(before: StatusDocument | undefined, status: StatusDocument): readonly string[] {
  if (before === undefined) return []
  const known = new Map(partsOf(before).map(([name, part]) => [name, part.state]))
  return partsOf(status).flatMap(([name, { state, lastError }]) => {
    if (known.get(name) === state) return []
    const error = state === 'ok' || lastError === undefined ? '' : `: ${lastError.message}`
    return [`${name}: ${known.has(name) ? '' : 'new, '}${state}${error}`]
  })
}

function partsOf(status: StatusDocument): readonly (readonly [string, PartStatus])[] {
  const { configuration, connection, jobs, logs } = status
  return [
    ...(configuration === undefined
      ? []
      : [[`configuration version ${configuration.version}`, { state: configuration.state }] as const]),
    ...updateParts(status.update),
    ['identity', status.identity],
    ...rotationParts(status.identity.rotation),
    ...status.credentials.map((part) => [part.name, part] as const),
    ...(connection === undefined ? [] : [['connection', connection] as const]),
    ...(jobs === undefined ? [] : [['jobs', jobs] as const]),
    ...status.artifacts.map((part) => [`artifact ${part.name}`, part] as const),
    ...status.cameras.map((part) => [`camera ${part.name}, version ${part.versionId ?? 'none'}`, part] as const),
    ...status.applications.map((part) => [`application ${part.name}`, part] as const),
    ['logs', logs],
    ...logs.sources.map((part) => [`log stream ${part.stream}, ${part.name}`, part] as const),
  ]
}

function updateParts(update: StatusDocument['update']): readonly (readonly [string, PartStatus])[] {
  const { trial, last } = update ?? {}
  if (trial !== undefined) return [[`update of the agent to ${trial.to}`, { state: 'trial' }]]
  if (last === undefined) return []
  const { outcome: state, to, reason } = last
  const lastError = reason === undefined ? {} : { lastError: { name: 'AgentError', message: reason } }
  return [[`update of the agent to ${to}`, { state, ...lastError }]]
}

function rotationParts(rotation: RotationPart | undefined): readonly (readonly [string, PartStatus])[] {
  if (rotation === undefined) return []
  const { state, reason } = rotation
  const lastError = reason === undefined ? {} : { lastError: { name: 'AgentError', message: reason } }
  return [['rotation of the certificate', { state, ...lastError }]]
}

function artifactChanges(
  before: readonly ArtifactPart[] | undefined,
  artifacts: readonly ArtifactPart[],
): readonly string[] {
  if (before === undefined) return []
  const known = new Map(before.map(({ name, releaseId }) => [name, releaseId]))
  return artifacts.flatMap(({ name, releaseId, bytes }) =>
    releaseId === undefined || known.get(name) === releaseId
      ? []
      : [`artifact ${name}: release ${releaseId.slice(0, 12)} is installed, ${bytesText(bytes)}`],
  )
}

function jobChanges(before: StatusDocument | undefined, { jobs }: StatusDocument): readonly string[] {
  const { current, last } = jobs ?? {}
  const wasCurrent = before?.jobs?.current
  const wasLast = before?.jobs?.last
  return [
    ...(current === undefined || current.jobId === wasCurrent?.jobId
      ? []
      : [`job ${current.jobId}: ${current.operation} runs`]),
    ...(before === undefined || last === undefined || isSameEnd(last, wasLast)
      ? []
      : [`job ${last.jobId}: ${last.operation} ${last.status}`]),
  ]
}

type JobEnd = NonNullable<NonNullable<StatusDocument['jobs']>['last']>

/** The instant of an end moves by what is learnt of the clock meanwhile. */
function isSameEnd(end: JobEnd, before: JobEnd | undefined): boolean {
  if (end.jobId !== before?.jobId || end.status !== before.status) return false
  return Math.abs(Date.parse(end.at) - Date.parse(before.at)) < clockStepMs
}

function lossChanges(before: StatusDocument | undefined, { logs }: StatusDocument): readonly string[] {
  const more = before === undefined ? 0 : logs.lost - before.logs.lost
  return more > 0 ? [`logs: ${more} more events were lost`] : []
}

/** One line at each step of a tenth, and one at the end. */
function transferChanges(before: readonly Transfer[], transfers: readonly Transfer[]): readonly string[] {
  const stepOf = (transfer: Transfer): number => Math.floor(percentOf(transfer) / percentStep)
  const known = new Map(before.map((each) => [each.what, stepOf(each)]))
  const going = new Set(transfers.map(({ what }) => what))
  return [
    ...transfers.flatMap((each) =>
      known.get(each.what) === stepOf(each) ? [] : [`${transferText(each)} (${percentOf(each)} %)`],
    ),
    ...before.filter(({ what }) => !going.has(what)).map(({ what }) => `${what}: no longer`),
  ]
}
