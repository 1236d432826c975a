import { AgentError } from '../lib/errors.ts'
import { sleep } from '../lib/sleep.ts'
import { logLineText, waitingLines } from '../status/render-logs.ts'
import type { RecentLogs } from '../status/recent-logs-document.ts'
import { NoAgentError } from '../status/status-client.ts'
import { askFor, socketOf, type AgentLocation } from './ask-agent.ts'
import type { CommandContext } from './command-context.ts'
import { layoutFor } from './terminal-layout.ts'

export interface LogsOptions extends AgentLocation {
  /** Of the agent's own log, the last ones. */
  readonly lines: number
  /** Goes on with what is logged from then on, through any number of restarts, until the signal aborts. */
  readonly follow: boolean
  /** The whole answer on one line; with `follow` a line of JSON for each line of the log. */
  readonly json: boolean
}

const askWithinMs = 10_000
const everyMs = 1_000
const journalHint =
  'journalctl -u panorama-agent.service shows what it logged, systemctl status panorama-agent why it does not run'

/**
 * `panorama-agent logs`: the last lines of the running agent's own log, and what waits for its upload. Throws with the way to
 * the journal when there is no agent to ask.
 */
export async function logs(options: LogsOptions, context: CommandContext): Promise<void> {
  const location = { ...options, socket: await socketOf(options) }
  if (options.follow) {
    await follow({ ...options, ...location }, context)
    return
  }
  const answer = await askRecent(location, { after: 0, signal: context.signal }).catch((error: unknown) => {
    throw error instanceof NoAgentError ? notRunning(error) : error
  })
  const last = lastOf(answer, options.lines)
  if (options.json) context.stdout.write(`${JSON.stringify({ ...answer, lines: last })}\n`)
  else context.stdout.write(text([...logLines(last, context), '', ...waiting(answer, context)]))
}

/** Up to where the log was shown. */
interface Seen {
  readonly run: string
  readonly number: number
}

type FollowOptions = LogsOptions & { readonly socket: string }

async function follow(options: FollowOptions, context: CommandContext): Promise<void> {
  const { signal, stdout, stderr } = context
  let seen: Seen | undefined
  let isSilent = false
  while (!signal.aborted && stdout.writable) {
    try {
      seen = await showNews(options, seen, context)
      isSilent = false
    } catch (error) {
      const reason = passing(error, signal)
      if (reason !== undefined && !isSilent) stderr.write(`${reason}; asked again every second\n${journalHint}\n`)
      isSilent = true
    }
    await sleep(everyMs, signal).catch(() => undefined)
  }
}

/** What an error that may end by itself says; undefined at a stop. Throws any other. */
function passing(error: unknown, signal: AbortSignal): string | undefined {
  if (signal.aborted) return undefined
  if (error instanceof AgentError && (error instanceof NoAgentError || error.retryable)) return error.message
  throw error
}

async function showNews(options: FollowOptions, seen: Seen | undefined, context: CommandContext): Promise<Seen> {
  const { signal, stdout } = context
  const answer = await askRecent(options, { after: seen?.number ?? 0, signal })
  const isSameRun = seen === undefined || answer.run === seen.run
  // another run numbers from 1: all that it has is news
  const { run, lines, ...rest } = isSameRun ? answer : await askRecent(options, { after: 0, signal })
  if (seen === undefined && !options.json) {
    stdout.write(text([...waiting({ run, lines, ...rest }, context), '']))
  }
  writeLines(
    seen === undefined ? lines.slice(lines.length - Math.min(options.lines, lines.length)) : lines,
    options.json,
    context,
  )
  return { run, number: lines.at(-1)?.number ?? (isSameRun ? (seen?.number ?? 0) : 0) }
}

function writeLines(lines: RecentLogs['lines'], asJson: boolean, context: CommandContext): void {
  const shown = asJson ? lines.map((line) => JSON.stringify(line)) : logLines(lines, context)
  if (shown.length > 0) context.stdout.write(text(shown))
}

function logLines(lines: RecentLogs['lines'], context: CommandContext): readonly string[] {
  const layout = layoutFor(context)
  return lines.map((line) => logLineText(line.text, layout))
}

function waiting(answer: RecentLogs, context: CommandContext): readonly string[] {
  return waitingLines(answer, layoutFor(context))
}

function lastOf({ lines }: RecentLogs, count: number): RecentLogs['lines'] {
  return count === 0 ? [] : lines.slice(-count)
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

function notRunning({ message, code }: NoAgentError): AgentError {
  return new AgentError(`${message} (${code})`, { hint: journalHint })
}

async function askRecent(
  location: AgentLocation,
  { after, signal }: { readonly after: number; readonly signal: AbortSignal },
): Promise<RecentLogs> {
  const question = { method: 'GET' as const, path: `/recent-logs/${after}`, withinMs: askWithinMs, signal }
  return await askFor(location, question, isRecentLogs)
}

function isRecentLogs(body: unknown): body is RecentLogs {
  return typeof body === 'object' && body !== null && 'lines' in body && 'version' in body && body.version === 1
}
