import { request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'

import { AgentError, errorCode } from '../lib/errors.ts'

export interface AgentCall {
  readonly socketPath: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly withinMs: number
  /** Ends the waiting, with its reason. */
  readonly signal?: AbortSignal
}

export interface AgentAnswer {
  readonly status: number
  readonly body: unknown
}

/** Where the agent of a runtime folder answers. */
export function socketPathIn(runtimeFolder: string): string {
  return join(runtimeFolder, 'agent.sock')
}

/** Nobody listens at the socket. */
export class NoAgentError extends AgentError {
  override readonly name = 'NoAgentError'
  /** Node's code, ENOENT or ECONNREFUSED. */
  readonly code: string

  constructor(socketPath: string, code: string) {
    super(`no agent answers at ${socketPath}`, {
      hint: 'start it (systemctl status panorama-agent says why it does not run), or name the configuration that it runs with by --config',
    })
    this.code = code
  }
}

/** Somebody listens at the socket, and did not answer in time. */
export class SilentAgentError extends AgentError {
  override readonly name = 'SilentAgentError'

  constructor(socketPath: string, withinMs: number) {
    super(`the agent at ${socketPath} did not answer within ${withinMs / 1_000} s`, {
      hint: 'it hangs, or has too much to do: see journalctl -u panorama-agent; systemd restarts one that hangs for long',
      retryable: true,
    })
  }
}

const maxBodyBytes = 16 * 1024 * 1024

/** Asks the running agent over its Unix socket. Throws an AgentError with a hint when there is no agent to ask. */
export async function callAgent({
  socketPath,
  method,
  path,
  withinMs,
  signal: caller,
}: AgentCall): Promise<AgentAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const timeout = AbortSignal.timeout(withinMs)
  const signal = caller === undefined ? timeout : AbortSignal.any([caller, timeout])
  const request = httpRequest({ socketPath, method, path, signal, agent: false })
  request.once('response', resolve)
  request.on('error', reject)
  request.end()
  try {
    const response = await promise
    const text = await readText(response)
    return { status: response.statusCode ?? 0, body: JSON.parse(text) }
  } catch (error) {
    caller?.throwIfAborted()
    throw timeout.aborted ? new SilentAgentError(socketPath, withinMs) : unreachable(socketPath, error)
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > maxBodyBytes) throw new AgentError('the answer of the agent is too long')
  }
  return text
}

function unreachable(socketPath: string, error: unknown): AgentError {
  const code = errorCode(error)
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return new NoAgentError(socketPath, code)
  if (code === 'EACCES') {
    return new AgentError(`${socketPath} may not be used by this user`, {
      hint: "run this as root or as a member of the agent's group",
    })
  }
  return new AgentError(`the agent at ${socketPath} did not answer`, { cause: error, retryable: true })
}
