import type { StatusDocument } from '../status/status-document.ts'
import type { ReleaseList, ReleasePart, VerificationReport } from '../status/release-documents.ts'
import { AgentError } from '../lib/errors.ts'
import { askFor, askStatus, type AgentLocation } from './ask-agent.ts'
import type { CommandContext } from './command-context.ts'
import { isTerminal, showVerification } from './verify-progress.ts'

const answerWithinMs = 60_000
/** Reading is slow on purpose, and releases may have many GiB. */
const verifyWithinMs = 12 * 3_600_000

export interface ArtifactOptions extends AgentLocation {
  readonly name: string
}

/** `panorama-agent artifacts list NAME`: the releases that are kept, and those that were not healthy. */
export async function listReleases(options: ArtifactOptions, { signal, stdout }: CommandContext): Promise<void> {
  const path = `/releases/${encodeURIComponent(options.name)}`
  stdout.write(releaseRows(await askFor(options, { method: 'GET', path, withinMs: answerWithinMs, signal }, isList)))
}

/**
 * `panorama-agent artifacts verify NAME`: reads every file of the current release. Throws when one is damaged. Shows how far it
 * is where stderr is a terminal.
 */
export async function verifyArtifact(
  { progressEveryMs = 1_000, ...options }: ArtifactOptions & { readonly progressEveryMs?: number },
  context: CommandContext,
): Promise<void> {
  const { releaseId, files, bytes, damaged } = await verification(options, { ...context, progressEveryMs })
  const { stdout } = context
  stdout.write(`release ${releaseId}: ${files} files, ${bytes} bytes read, ${damaged.length} damaged\n`)
  for (const each of damaged) stdout.write(`damaged: ${JSON.stringify(each)}\n`)
  if (damaged.length === 0) return
  throw new AgentError('the release is damaged', {
    hint: 'it is fetched again and built anew now: panorama-agent status',
  })
}

/** `panorama-agent artifacts rollback NAME [--to ID]`: goes to a kept release until the source changes. */
export async function rollBack(
  { to, ...options }: ArtifactOptions & { readonly to?: string },
  { signal, stdout }: CommandContext,
): Promise<void> {
  const segments = [options.name, ...(to === undefined ? [] : [to])].map(encodeURIComponent)
  const path = `/rollback/${segments.join('/')}`
  const question = { method: 'POST', path, withinMs: answerWithinMs, signal } as const
  stdout.write(releaseRows(await askFor(options, question, isList)))
}

async function verification(
  options: ArtifactOptions,
  { signal, stderr, progressEveryMs: everyMs }: CommandContext & { readonly progressEveryMs: number },
): Promise<VerificationReport> {
  const path = `/verify/${encodeURIComponent(options.name)}`
  const report = askFor(options, { method: 'POST', path, withinMs: verifyWithinMs, signal }, isReport)
  if (!isTerminal(stderr)) return await report
  const { name } = options
  const ended = new AbortController()
  const status = (): Promise<StatusDocument> => askStatus(options, ended.signal)
  const shown = showVerification({ name, terminal: stderr, everyMs, status, ended: ended.signal })
  try {
    return await report
  } finally {
    ended.abort()
    await shown
  }
}

function releaseRows({ releases }: ReleaseList): string {
  if (releases.length === 0) return 'no release is installed\n'
  return releases.map((release) => `${releaseRow(release)}\n`).join('')
}

function releaseRow({ releaseId, installedAt, files, bytes, is }: ReleasePart): string {
  const size = files === undefined ? 'not kept' : `${files} files, ${bytes ?? 0} bytes`
  const since = installedAt === undefined ? '' : `, installed ${installedAt}`
  return `${releaseId}  ${size}${since}${is.length === 0 ? '' : `, ${is.join(', ')}`}`
}

function isList(body: unknown): body is ReleaseList {
  return isVersion1(body) && 'releases' in body
}

function isReport(body: unknown): body is VerificationReport {
  return isVersion1(body) && 'damaged' in body
}

function isVersion1(body: unknown): body is object {
  return typeof body === 'object' && body !== null && 'version' in body && body.version === 1
}
