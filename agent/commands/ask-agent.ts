import { existsSync } from 'node:fs'

import { defaultRuntimeFolder } from '../config/config-schema.ts'
import { ConfigError } from '../config/config-error.ts'
import { loadPaths, namedRuntimeFolder } from '../config/load-config.ts'
import { AgentError } from '../lib/errors.ts'
import { pendingReset } from '../reset/pending-reset.ts'
import { callAgent, NoAgentError, socketPathIn, type AgentCall } from '../status/status-client.ts'
import { renderStatus } from '../status/render-status.ts'
import { isUnprovisioned } from '../status/render-unprovisioned.ts'
import type { StatusDocument, StatusReport } from '../status/status-document.ts'
import type { CommandContext } from './command-context.ts'
import { layoutFor } from './terminal-layout.ts'

/** Where the running agent is found: by its socket, or by its configuration. */
export interface AgentLocation {
  readonly configFile: string
  readonly socket?: string
  /** Where the agent is asked when the configuration is at fault: it may run with the one before. */
  readonly usualSocket?: string
}

export interface StatusOptions extends AgentLocation {
  readonly json: boolean
}

const statusWithinMs = 10_000
const passWithinMs = 600_000

/** `panorama-agent status [--json]` */
export async function status(options: StatusOptions, context: CommandContext): Promise<void> {
  const report = await askReport(options, context.signal).catch(
    async (error: unknown) => await tellOfReset(error, options),
  )
  context.stdout.write(
    options.json
      ? `${JSON.stringify(report)}
`
      : renderStatus(report, layoutFor(context)),
  )
}

/** What the running agent knows about itself. Throws where it has no identity yet. */
export async function askStatus(location: AgentLocation, signal: AbortSignal): Promise<StatusDocument> {
  return await ask(location, { method: 'GET', path: '/status', withinMs: statusWithinMs, signal })
}

/** What the running agent knows about itself, provisioned or not. */
export async function askReport(location: AgentLocation, signal: AbortSignal): Promise<StatusReport> {
  return await askFor(location, { method: 'GET', path: '/status', withinMs: statusWithinMs, signal }, isReport)
}

/** `panorama-agent sync [NAME]`: a pass of one artifact, or of all, now. */
export async function sync(
  options: AgentLocation & { readonly name?: string },
  { signal, stdout }: CommandContext,
): Promise<void> {
  const document = await ask(options, {
    method: 'POST',
    path: pathOf('sync', options.name),
    withinMs: passWithinMs,
    signal,
  })
  for (const { name, releaseId, files, bytes } of document.artifacts) {
    if (options.name !== undefined && options.name !== name) continue
    stdout.write(`${name}: release ${releaseId ?? 'none'}, ${files} files, ${bytes} bytes\n`)
  }
}

/** `panorama-agent refresh [CAMERA]`: a refresh of the camera credentials now. */
export async function refresh(
  options: AgentLocation & { readonly name?: string },
  { signal, stdout }: CommandContext,
): Promise<void> {
  const document = await ask(options, {
    method: 'POST',
    path: pathOf('refresh', options.name),
    withinMs: passWithinMs,
    signal,
  })
  for (const { name, versionId } of document.cameras) {
    if (options.name !== undefined && options.name !== name) continue
    stdout.write(`${name}: version ${versionId ?? 'none'}\n`)
  }
}

/** An agent that is decommissioned, and not wholly, cannot be started: to start it would be no advice. */
async function tellOfReset(error: unknown, { configFile, socket }: AgentLocation): Promise<never> {
  if (!(error instanceof NoAgentError) || socket !== undefined) throw error
  const paths = await loadPaths(configFile).catch(() => undefined)
  const reset = paths && (await pendingReset(paths.state).catch(() => undefined))
  if (reset === undefined) throw error
  throw new AgentError(`${error.message}: ${reset.message}`, { hint: reset.hint, cause: error })
}

type Question = Omit<AgentCall, 'socketPath'>

async function ask(location: AgentLocation, question: Question): Promise<StatusDocument> {
  return await askFor(location, question, isStatus)
}

/** Asks the running agent. Throws what it refuses with, or an AgentError when there is no agent to ask. */
export async function askFor<T>(
  location: AgentLocation,
  question: Question,
  isAnswer: (body: unknown) => body is T,
): Promise<T> {
  const socketPath = await socketOf(location)
  const { body } = await callAgent({ socketPath, ...question })
  if (isAnswer(body)) return body
  throw refusal(body)
}

/** Where the agent answers. Throws a ConfigError when neither configuration nor agent are where they are looked for. */
export async function socketOf({
  configFile,
  socket,
  usualSocket = socketPathIn(defaultRuntimeFolder),
}: AgentLocation): Promise<string> {
  if (socket !== undefined) return socket
  try {
    return socketPathIn((await loadPaths(configFile)).runtime)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const named = await namedRuntimeFolder(configFile)
    const sockets = [...(named === undefined ? [] : [socketPathIn(named)]), usualSocket]
    const there = sockets.find((path) => existsSync(path))
    if (there === undefined) throw error
    return there
  }
}

function pathOf(verb: string, name: string | undefined): string {
  return name === undefined ? `/${verb}` : `/${verb}/${encodeURIComponent(name)}`
}

function isReport(body: unknown): body is StatusReport {
  return typeof body === 'object' && body !== null && 'version' in body && body.version === 1
}

function isStatus(body: unknown): body is StatusDocument {
  return isReport(body) && !isUnprovisioned(body)
}

function refusal(body: unknown): AgentError {
  if (typeof body !== 'object' || body === null || !('error' in body))
    return new AgentError('the agent gave no answer that makes sense')
  const { error } = body
  const message = field(error, 'message') ?? 'the agent failed'
  const hint = field(error, 'hint')
  return new AgentError(message, hint === undefined ? {} : { hint })
}

function field(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null || !(name in value)) return undefined
  const found: unknown = Object.entries(value).find(([key]) => key === name)?.[1]
  return typeof found === 'string' ? found : undefined
}
