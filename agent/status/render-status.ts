import type { ArtifactPart, PartStatus, StatusDocument } from './status-document.ts'

type Progress = NonNullable<StatusDocument['artifacts'][number]['progress']>

/** The status document for people: one line per part, and under it what went wrong and what to do. */
export function renderStatus(status: StatusDocument): string {
  const { agent, device, clock, identity, logs } = status
  const rows = [
    row('agent', 'running', `version ${agent.version}, pid ${agent.pid}, since ${agent.startedAt}`),
    row('device', device.name, `thing ${device.thingName}, id ${device.id}, region ${device.region}`),
    row('clock', clock.known ? 'known' : 'unconfirmed', `${clock.now}${offsetText(clock)}`),
    ...part('identity', identity, expiryText('certificate valid until', identity.certificateExpiresAt)),
    ...status.credentials.flatMap((each) =>
      part(each.name, each, `${expiryText('valid until', each.expiresAt)}, ${count(each.fetches, 'fetch', 'fetches')}`),
    ),
    ...status.artifacts.flatMap((each) => part(`artifact ${each.name}`, each, artifactText(each))),
    ...status.cameras.flatMap((each) => part(`camera ${each.name}`, each, `version ${each.versionId ?? 'none yet'}`)),
    ...part(
      'logs',
      logs,
      `${logs.group}: ${logs.accepted} accepted, ${logs.lost} lost${logs.lostBytes === 0 ? '' : ` and ${logs.lostBytes} bytes never read`}, ${logs.pendingBytes} bytes pending`,
    ),
    ...logs.sources.flatMap((source) =>
      part(`  ${source.stream}`, source, `${source.path}: ${source.positionBytes} of ${source.sizeBytes} bytes sent`),
    ),
    ...status.overdue.map((name) => row(name, 'OVERDUE', 'it neither ended nor progressed by its own deadline')),
  ]
  return `${rows.join('\n')}\n`
}

function part(title: string, { state, since, lastError, nextAttemptAt }: PartStatus, text: string): readonly string[] {
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

function row(title: string, state: string, text: string): string {
  return `${title.padEnd(26)} ${state.padEnd(9)} ${text}`.trimEnd()
}

function expiryText(words: string, instant: string | undefined): string {
  return instant === undefined ? 'none yet' : `${words} ${instant}`
}

function offsetText({ offsetSeconds, lastStep }: StatusDocument['clock']): string {
  if (offsetSeconds === 0) return ''
  const step = lastStep === undefined ? '' : `, setting it: ${lastStep.result}, ${lastStep.code} (${lastStep.at})`
  return `, the system clock is off by ${offsetSeconds} s${step}`
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`
}
