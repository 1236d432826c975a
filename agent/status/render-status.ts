import type { ArtifactPart, LogSourcePart, LogsPart, PartStatus, StatusDocument } from './status-document.ts'

type Progress = NonNullable<StatusDocument['artifacts'][number]['progress']>

/** Less goes by before a flush. */
const shownLagSeconds = 120

/** The status document for people: one line per part, and under it what went wrong and what to do. */
export function renderStatus(status: StatusDocument): string {
  const { agent, device, clock, identity, connection, jobs, logs } = status
  const { cameraSecrets, cameraSealing, cameraHooks = [] } = status
  const rows = [
    row('agent', 'running', `version ${agent.version}, pid ${agent.pid}, since ${agent.startedAt}`),
    row('device', device.name, `thing ${device.thingName}, id ${device.id}, region ${device.region}`),
    ...configurationRows(status.configuration),
    row('clock', clock.known ? 'known' : 'unconfirmed', `${clock.now}${offsetText(clock)}`),
    ...part('identity', identity, expiryText('certificate valid until', identity.certificateExpiresAt)),
    ...status.credentials.flatMap((each) =>
      part(each.name, each, `${expiryText('valid until', each.expiresAt)}, ${count(each.fetches, 'fetch', 'fetches')}`),
    ),
    ...status.artifacts.flatMap((each) => part(`artifact ${each.name}`, each, artifactText(each))),
    ...status.cameras.flatMap((each) => part(`camera ${each.name}`, each, cameraText(each))),
    ...status.applications.flatMap((each) =>
      part(`application ${each.name}`, each, `${expiryText('valid until', each.expiresAt)}, served ${each.served}`),
    ),
    ...(cameraSecrets === undefined ? [] : part('camera secrets', cameraSecrets, 'a batch of them is denied')),
    ...(cameraSealing === undefined ? [] : part('cameras sealing', cameraSealing, sealingText(cameraSealing))),
    ...cameraHooks.flatMap((each) => part(`camera hook ${each.name}`, each, 'after changes of camera files')),
    ...(connection === undefined ? [] : part('connection', connection, 'to AWS IoT Core')),
    ...(jobs === undefined ? [] : part('jobs', jobs, jobsText(jobs))),
    ...part('logs', logs, logsText(logs)),
    ...logs.sources.flatMap((source) => part(`  ${source.stream}`, source, logSourceText(source, logs.group))),
    ...status.overdue.map((name) => row(name, 'OVERDUE', 'it neither ended nor progressed by its own deadline')),
  ]
  return `${rows.join('\n')}\n`
}

function cameraText({ versionId, detail }: StatusDocument['cameras'][number]): string {
  return `version ${versionId ?? 'none yet'}${detail === undefined ? '' : `, ${detail}`}`
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

function configurationRows(configuration: StatusDocument['configuration']): readonly string[] {
  if (configuration === undefined) return []
  const { version, digest, state, job, faults } = configuration
  const by = job === undefined ? '' : `, job ${job.jobId}`
  const text = version === 0 ? 'the base file alone' : `version ${version}${by}, digest ${digest.slice(0, 12)}`
  const errors = faults.map(({ path, message }) => row('', 'error', path === '' ? message : `${path}: ${message}`))
  return [row('configuration', state, text), ...errors]
}

function jobsText({ current, last, unreported }: NonNullable<StatusDocument['jobs']>): string {
  const shown = ({ operation, jobId, status, at, cloudStatus }: NonNullable<typeof last>): string =>
    `${operation} ${jobId} ${status} at ${at}${cloudStatus === undefined ? '' : ` (${cloudStatus} in AWS)`}`
  return [
    current === undefined ? 'none runs' : shown(current),
    ...(last === undefined ? [] : [`last: ${shown(last)}`]),
    ...(unreported === 0 ? [] : ['its end is not reported yet']),
  ].join(', ')
}

function logsText(logs: LogsPart): string {
  const { group, accepted, lost, lostBytes, leftOut, leftOutBytes, pendingBytes, gapsPending, catchingUp } = logs
  const losses = `${lost} lost${lostBytes === 0 ? '' : ` and ${lostBytes} bytes never read`}`
  const notes = [
    `${accepted} accepted`,
    losses,
    ...(leftOut === 0 ? [] : [`${leftOut} left out`]),
    ...(leftOutBytes === 0 ? [] : [`${leftOutBytes} bytes jumped over`]),
    `${pendingBytes} bytes pending`,
    ...(gapsPending === 0 ? [] : [`${count(gapsPending, 'gap record')} pending`]),
    ...(catchingUp ? ['catching up'] : []),
  ]
  return `${group}: ${notes.join(', ')}`
}

function logSourceText(source: LogSourcePart, group: string): string {
  const { name, positionBytes, sizeBytes, backlogBytes, lagSeconds } = source
  const notes = [
    ...(positionBytes === undefined ? [] : [`${positionBytes} of ${sizeBytes ?? positionBytes} bytes sent`]),
    ...(positionBytes === undefined && backlogBytes !== undefined ? [`${backlogBytes} bytes pending`] : []),
    ...(lagSeconds === undefined || lagSeconds < shownLagSeconds ? [] : [`${lagSeconds} s behind`]),
    ...(source.group === group ? [] : [`to ${source.group}`]),
  ]
  return notes.length === 0 ? name : `${name}: ${notes.join(', ')}`
}

/** A line for a part, and under it what went wrong. */
export function part(
  title: string,
  { state, since, lastError, nextAttemptAt }: PartStatus,
  text: string,
): readonly string[] {
  const sinceText = since === undefined ? '' : `, since ${since}`
  const next = nextAttemptAt === undefined ? '' : `, next attempt ${nextAttemptAt}`
  return [row(title, state, `${text}${sinceText}${next}`), ...(state === 'ok' ? [] : errorRows(lastError))]
}

function errorRows(error: PartStatus['lastError']): readonly string[] {
  if (error === undefined) return []
  const at = error.at === undefined ? '' : ` (${error.at})`
  return [row('', 'error', `${error.message}${at}`), ...(error.hint === undefined ? [] : [row('', 'hint', error.hint)])]
}

function artifactText(artifact: ArtifactPart): string {
  const { releaseId, manifest, files, bytes, phase, progress, waitsUntil, held, health } = artifact
  const notes = [...(held === true ? ['held'] : []), ...(health === undefined ? [] : [health])]
  const release =
    releaseId === undefined
      ? 'no release yet'
      : [
          `release ${releaseId.slice(0, 12)}${manifestText(manifest)}`,
          ...notes,
          count(files, 'file'),
          `${bytes} bytes`,
        ].join(', ')
  if (progress !== undefined) return `${release}, ${phase} ${progressText(progress)}`
  if (waitsUntil !== undefined) return `${release}, downloads wait until ${waitsUntil}`
  return phase === 'idle' ? release : `${release}, ${phase}`
}

function manifestText(manifest: ArtifactPart['manifest']): string {
  if (manifest === undefined) return ''
  return ` (version ${manifest.version}, sequence ${manifest.sequence}${manifest.verified ? '' : ', unverified'})`
}

function progressText({ bytes, totalBytes, bytesPerSecond, remainingSeconds }: Progress): string {
  const rate = bytesPerSecond === undefined ? '' : `, ${bytesPerSecond} bytes/s`
  const remaining = remainingSeconds === undefined ? '' : `, ${remainingSeconds} s left`
  return `${bytes} of ${totalBytes} bytes${rate}${remaining}`
}

export function row(title: string, state: string, text: string): string {
  return `${title.padEnd(26)} ${state.padEnd(9)} ${text}`.trimEnd()
}

function expiryText(words: string, instant: string | undefined): string {
  return instant === undefined ? 'none yet' : `${words} ${instant}`
}

export function offsetText({ offsetSeconds, lastStep }: StatusDocument['clock']): string {
  if (offsetSeconds === 0) return ''
  const step = lastStep === undefined ? '' : `, setting it: ${lastStep.result}, ${lastStep.code} (${lastStep.at})`
  return `, the system clock is off by ${offsetSeconds} s${step}`
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`
}
