import { bytesText, countText } from '../lib/quantity-text.ts'
import { clockRow } from './clock-row.ts'
import { logRows } from './log-rows.ts'
import { isUnprovisioned, unprovisionedRows } from './render-unprovisioned.ts'
import { leftOverNotes, rotationNote } from './rotation-text.ts'
import type { ArtifactPart, PartStatus, StatusDocument, StatusReport } from './status-document.ts'
import { layOut, type Layout } from './status-layout.ts'
import { updateRows } from './update-text.ts'
import { agentRow, overdueRows, PartRows, row, summedUp, withDetails, type StatusRow } from './status-rows.ts'

/** The status document for people: what is to be known first, then a row per part, in detail where it is not well. */
export function renderStatus(status: StatusReport, layout: Layout = {}): string {
  return `${layOut(status, statusRows(status), layout).join('\n')}\n`
}

/** One row per part; of many artifacts, cameras, applications or log sources only those that are not well. */
export function statusRows(status: StatusReport): readonly StatusRow[] {
  return isUnprovisioned(status) ? unprovisionedRows(status) : provisionedRows(status)
}

function provisionedRows(status: StatusDocument): readonly StatusRow[] {
  const { agent, clock, identity, connection, jobs, artifacts, cameras, applications } = status
  const { cameraSecrets, cameraSealing, cameraHooks = [] } = status
  const rows = new PartRows(clock.now)
  const part = (title: string, each: PartStatus, text: string): StatusRow => rows.part(title, each, text)
  return [
    agentRow(agent, rows),
    row('device', '', deviceText(status.device)),
    ...configurationRows(status.configuration, rows),
    ...updateRows(status.update, rows),
    clockRow(clock, rows),
    ...networkRows(status.network, rows),
    identityRow(identity, rows),
    ...status.credentials.map((each) => part(each.name, each, validText(each.expiresAt, rows))),
    ...(connection === undefined ? [] : [part('connection', connection, connectionText(connection, rows))]),
    ...(jobs === undefined ? [] : [part('jobs', jobs, jobsText(jobs, rows))]),
    ...summedUp(
      artifacts.map((each) => part(`artifact ${each.name}`, each, artifactText(each, rows))),
      'artifacts',
    ),
    ...summedUp(
      cameras.map((each) => part(`camera ${each.name}`, each, cameraText(each, rows))),
      'cameras',
    ),
    ...(cameraSecrets === undefined ? [] : [part('camera secrets', cameraSecrets, 'a batch of them is denied')]),
    ...(cameraSealing === undefined ? [] : [part('cameras sealing', cameraSealing, sealingText(cameraSealing))]),
    ...cameraHooks.map((each) => part(`camera hook ${each.name}`, each, 'after changes of camera files')),
    ...summedUp(
      applications.map((each) =>
        part(`application ${each.name}`, each, `${validText(each.expiresAt, rows)}, served ${each.served}`),
      ),
      'applications',
    ),
    ...logRows(status.logs, rows),
    ...overdueRows(status.overdue),
  ]
}

function deviceText({ name, thingName, id, region }: StatusDocument['device']): string {
  const others = id === thingName ? [] : [`id ${id}`]
  return [...(name === thingName ? [] : [name]), `thing ${thingName}`, ...others, `region ${region}`].join(', ')
}

function networkRows(network: StatusDocument['network'], rows: PartRows): readonly StatusRow[] {
  if (network === undefined) return []
  const { proxy, traffic } = network
  const limit = traffic.maxBytes === undefined ? '' : ` of ${bytesText(traffic.maxBytes)}`
  const notes = [
    ...(proxy === undefined ? [] : [`by the proxy ${proxy}`]),
    `${bytesText(traffic.bytes)}${limit} in ${traffic.month}`,
    ...(traffic.until === undefined ? [] : [`downloads and log uploads wait for ${rows.until(traffic.until)}`]),
  ]
  return [row('network', traffic.state, notes.join(', '))]
}

function configurationRows(configuration: StatusDocument['configuration'], rows: PartRows): readonly StatusRow[] {
  if (configuration === undefined) return []
  const { version, digest, state, job, faults, until } = configuration
  const by = job === undefined ? '' : `, job ${job.jobId}`
  const text = version === 0 ? 'the base file alone' : `version ${version}${by}, digest ${digest.slice(0, 12)}`
  const details = faults.map(({ path, message }) => ({
    label: 'error' as const,
    text: path === '' ? message : `${path}: ${message}`,
  }))
  const end = until === undefined ? '' : `, goes back in ${rows.until(until)} unless it proves itself`
  return [withDetails(row('configuration', state, `${text}${end}`), details)]
}

function identityRow(identity: StatusDocument['identity'], rows: PartRows): StatusRow {
  const { rotation, leftOver } = identity
  const notes = [...(rotation === undefined ? [] : [rotationNote(rotation, rows)]), ...leftOverNotes(leftOver)]
  const shown = rows.part('identity', identity, [certificateText(identity, rows), ...notes].join(', '))
  if (rotation?.reason === undefined) return shown
  return withDetails(shown, [...shown.details, { label: 'error', text: `rotation: ${rotation.reason}` }])
}

function certificateText({ certificateExpiresAt: end }: StatusDocument['identity'], rows: PartRows): string {
  if (end === undefined) return 'no certificate'
  return rows.isPast(end) ? `certificate ran out ${rows.age(end)} ago` : `certificate valid until ${end.slice(0, 10)}`
}

function validText(expiresAt: string | undefined, rows: PartRows): string {
  if (expiresAt === undefined) return 'none yet'
  return rows.isPast(expiresAt) ? `ran out ${rows.age(expiresAt)} ago` : `valid for ${rows.until(expiresAt)}`
}

function connectionText({ state, since }: PartStatus, rows: PartRows): string {
  const isUp = state === 'connected' && since !== undefined
  return `to AWS IoT Core${isUp ? ` for ${rows.age(since)}` : ''}`
}

function jobsText({ current, last, unreported }: NonNullable<StatusDocument['jobs']>, rows: PartRows): string {
  const shown = ({ operation, jobId, status, at, cloudStatus, endRefused }: NonNullable<typeof last>): string =>
    [
      `${operation} ${jobId} ${status}, ${rows.age(at)} ago`,
      ...(cloudStatus === undefined ? [] : [`(${cloudStatus} in AWS)`]),
      ...(endRefused === undefined ? [] : [`(AWS does not take its end: ${endRefused})`]),
    ].join(' ')
  return [
    current === undefined ? 'none runs' : shown(current),
    ...(last === undefined ? [] : [`last: ${shown(last)}`]),
    ...(unreported === 0 ? [] : ['its end is not reported yet']),
  ].join('; ')
}

function cameraText({ versionId, changedAt, detail }: StatusDocument['cameras'][number], rows: PartRows): string {
  const version = versionId === undefined ? 'no credentials yet' : `version ${versionId.slice(0, 8)}`
  const changed = changedAt === undefined ? '' : `, written ${rows.age(changedAt)} ago`
  return `${version}${changed}${detail === undefined ? '' : `, ${detail}`}`
}

function sealingText({ state, key }: NonNullable<StatusDocument['cameraSealing']>): string {
  if (state === 'starting') return 'the key has not been looked for yet'
  switch (key) {
    case 'systemd-credential':
      return 'key from the systemd credential panorama-agent.sealing-key'
    case 'file':
      return 'key from a file of the agent: protects a copied file, not a stolen disk'
    default:
      return 'no key: nothing is kept for a reboot without network'
  }
}

function artifactText(artifact: ArtifactPart, rows: PartRows): string {
  const { releaseId, manifest, files, bytes, phase, progress, waitsUntil, held, health, lastGoodAt } = artifact
  const release =
    releaseId === undefined
      ? ['no release yet']
      : [`release ${releaseId.slice(0, 12)}${manifestText(manifest)}`, countText(files, 'file'), bytesText(bytes)]
  return [
    ...release,
    ...(held === true ? ['held'] : []),
    ...(health === undefined ? [] : [health]),
    ...(progress === undefined ? [] : [`${phase} ${progressText(progress)}`]),
    ...(progress !== undefined || waitsUntil === undefined ? [] : [`downloads wait for ${rows.until(waitsUntil)}`]),
    ...(progress !== undefined || waitsUntil !== undefined || phase === 'idle' ? [] : [phase]),
    ...(phase !== 'idle' || lastGoodAt === undefined ? [] : [`checked ${rows.age(lastGoodAt)} ago`]),
  ].join(', ')
}

function manifestText(manifest: ArtifactPart['manifest']): string {
  if (manifest === undefined) return ''
  return ` (version ${manifest.version}, sequence ${manifest.sequence}${manifest.verified ? '' : ', unverified'})`
}

function progressText({ bytes, totalBytes }: NonNullable<ArtifactPart['progress']>): string {
  return `${bytesText(bytes)} of ${bytesText(totalBytes)}`
}
