import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

import { AgentError, errorCode, reportError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { RecentLogs } from './recent-logs-document.ts'
import { callAgent } from './status-client.ts'
import type { ConfigurationReport, StatusReport } from './status-document.ts'
import type { ReleaseList, VerificationReport } from './release-documents.ts'

/** What local users can ask of the agent. */
export interface LocalRequests {
  readonly status: () => StatusReport
  /** The configuration in use, value by value. */
  readonly configuration: () => ConfigurationReport
  /** The last lines of the agent's own log after a number, and what waits for its upload. */
  readonly recentLogs: (after: number) => RecentLogs
  /** Runs a pass of one artifact, or of all, now. Throws what the pass threw, or an AgentError for an unknown name. */
  readonly sync: (name: string | undefined) => Promise<void>
  /** Runs a refresh of the cameras now. Throws what it threw, or an AgentError for an unknown name. */
  readonly refresh: (camera: string | undefined) => Promise<void>
  /** The releases of one artifact. Throws an AgentError for an unknown name. */
  readonly releases: (name: string) => ReleaseList
  /** Reads every file of the current release of an artifact; throws as it does, or when nobody waits for it any more. */
  readonly verify: (name: string, signal: AbortSignal) => Promise<VerificationReport>
  /** Makes a kept release current, the one before when none is named. Throws an AgentError when there is none. */
  readonly rollBack: (name: string, to: string | undefined) => Promise<void>
}

export interface StatusServerOptions {
  readonly socketPath: string
  readonly requests: LocalRequests
  readonly log: Log
}

const mode = 0o660

/**
 * Answers on a Unix socket that the agent's user and group may use: `GET /status`, `GET /configuration`, `GET /recent-logs[/AFTER]`, `POST /sync[/NAME]`,
 * `POST /refresh[/CAMERA]`, `GET /releases/NAME`, `POST /verify/NAME`, `POST /rollback/NAME[/RELEASE]`, all in JSON. Throws when another agent answers there already.
 */
export async function startStatusServer({ socketPath, requests, log }: StatusServerOptions): Promise<AsyncDisposable> {
  await removeStaleSocket(socketPath)
  const server = createServer({ connectionsCheckingInterval: 1_000 }, (request, response) => {
    const left = new AbortController()
    response.once('close', () => {
      left.abort(new AgentError('nobody waits for the answer any more'))
    })
    answer(request, requests, left.signal).then(
      (reply) => {
        send(response, reply)
      },
      (error: unknown) => {
        log.debug('local request failed', { request: request.url, error })
        send(response, { status: 500, body: { error: reportError(error) } })
      },
    )
  })
  server.headersTimeout = 5_000
  server.requestTimeout = 5_000
  server.maxConnections = 20
  await listen(server, socketPath)
  await chmod(socketPath, mode)
  return {
    async [Symbol.asyncDispose]() {
      const { promise, resolve } = Promise.withResolvers<undefined>()
      server.close(() => {
        resolve(undefined)
      })
      server.closeAllConnections()
      await promise
    },
  }
}

interface Reply {
  readonly status: number
  readonly body: unknown
}

async function answer(request: IncomingMessage, requests: LocalRequests, left: AbortSignal): Promise<Reply> {
  request.resume()
  const [, verb, ...rest] = (request.url ?? '').split('/')
  const argument = argumentIn(rest)
  if (argument === 'malformed') return fault(400, 'the name is malformed')
  const { name } = argument
  switch (`${request.method ?? ''} ${verb ?? ''}`) {
    case 'GET status':
      return { status: 200, body: requests.status() }
    case 'GET configuration':
      return { status: 200, body: requests.configuration() }
    case 'GET recent-logs':
      return recentLogs(requests, name)
    case 'POST sync':
      await requests.sync(name)
      return { status: 200, body: requests.status() }
    case 'POST refresh':
      await requests.refresh(name)
      return { status: 200, body: requests.status() }
    case 'GET releases':
      return name === undefined ? noName() : { status: 200, body: requests.releases(name) }
    case 'POST verify':
      return name === undefined ? noName() : { status: 200, body: await requests.verify(name, left) }
    case 'POST rollback': {
      const [artifact = '', to] = rest.map(decodeURIComponent)
      if (artifact === '') return noName()
      await requests.rollBack(artifact, to)
      return { status: 200, body: requests.releases(artifact) }
    }
    default:
      return fault(404, 'there is no such request')
  }
}

function recentLogs(requests: LocalRequests, after = '0'): Reply {
  if (!/^\d{1,15}$/.test(after)) return fault(400, 'the number of a line is malformed')
  return { status: 200, body: requests.recentLogs(Number(after)) }
}

function noName(): Reply {
  return fault(400, 'no artifact is named')
}

function fault(status: number, message: string): Reply {
  return { status, body: { error: reportError(new AgentError(message)) } }
}

function argumentIn(segments: readonly string[]): { readonly name: string | undefined } | 'malformed' {
  if (segments.length === 0) return { name: undefined }
  try {
    return { name: decodeURIComponent(segments.join('/')) }
  } catch {
    return 'malformed'
  }
}

function send(response: ServerResponse, { status, body }: Reply): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  response.end(`${JSON.stringify(body)}\n`)
}

/** Codes of a path that can be no socket of ours; any other failure is somebody who listens and does not answer. */
const unusable = new Set(['EACCES', 'EPERM', 'ENAMETOOLONG', 'EINVAL', 'ENOTDIR', 'ENOTSOCK', 'EPROTOTYPE'])

/** A socket where nobody listens is left from a crash; one where somebody does is not ours to take, busy or not. */
async function removeStaleSocket(socketPath: string): Promise<void> {
  const found = await callAgent({ socketPath, method: 'GET', path: '/status', withinMs: 2_000 }).then(
    () => 'an agent',
    (error: unknown) => errorCode(error) ?? 'an agent',
  )
  if (found === 'ENOENT') return
  if (found === 'ECONNREFUSED') {
    await rm(socketPath, { force: true })
    return
  }
  if (!unusable.has(found)) {
    throw new AgentError(`another agent is at ${socketPath}`, {
      hint: 'two agents with one identity throw each other out: stop the other one, or give this one paths of its own',
    })
  }
  throw new AgentError(`the socket ${socketPath} cannot be used (${found})`, {
    hint: 'remove it, or name another folder in paths.runtime',
  })
}

async function listen(server: Server, socketPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  server.once('error', reject)
  server.listen(socketPath, () => {
    resolve(undefined)
  })
  await promise
  server.off('error', reject)
}
