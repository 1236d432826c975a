import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

import { withDeadline } from '../lib/abort.ts'
import { AgentError, errorCode, reportError } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { RateLimit } from '../lib/rate-limit.ts'
import { isSameToken, newToken } from './application-token.ts'
import { readCredentialsRequest, type Refusal } from './credentials-request.ts'
import type { HeldCredentials } from './role-credentials.ts'

export interface ServedApplication {
  readonly name: string
  readonly token: string
  /** Valid ones; throws an AgentError that says why there are none. */
  readonly credentials: () => Promise<HeldCredentials>
}

export interface CredentialsServerOptions {
  readonly log: Log
  /** How long a request may wait for credentials that are being fetched. */
  readonly answerWithinMs?: number
}

interface Served extends ServedApplication {
  readonly limit: RateLimit
  readonly tally: { count: number }
}

interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, string>>
}

const host = '127.0.0.1'
/** The SDK for JavaScript gives up after 1 s, botocore after 2; both, and all others, ask again after a 503. */
const defaultAnswerWithinMs = 900
/** SDKs ask for every request that they make while credentials are about to end. */
const perApplication = { perSecond: 20, burst: 100 }
const perWrongToken = { perSecond: 1, burst: 20 }
const endWithinMs = 1_000

/**
 * Hands credentials to applications on the loopback interface, as AWS SDKs ask for them ("Container credential
 * provider", AWS SDKs and Tools Reference Guide): `GET /v1/applications/<name>` with the application's token in
 * Authorization. What it serves may be replaced while it listens, and no connection is refused meanwhile.
 */
export class CredentialsServer implements AsyncDisposable {
  readonly #answerWithinMs: number
  readonly #log: Log
  readonly #refusals: FailureLog
  readonly #wrongTokens = new RateLimit(perWrongToken)
  /** Compared with where no application has the name, so that an answer takes as long. */
  readonly #decoy = newToken()
  #applications: ReadonlyMap<string, Served> = new Map()
  #listening: { readonly server: Server; readonly port: number } | undefined

  constructor({ log, answerWithinMs = defaultAnswerWithinMs }: CredentialsServerOptions) {
    this.#log = log
    this.#refusals = new FailureLog(log)
    this.#answerWithinMs = answerWithinMs
  }

  /** Undefined while it does not listen. */
  get port(): number | undefined {
    return this.#listening?.port
  }

  /**
   * Listens on 127.0.0.1; port 0 takes a free one. Nothing changes where it does so already; on another port the old
   * one is closed once the new one is open. Throws a retryable AgentError when the port is not to be had.
   */
  async listen(port: number): Promise<void> {
    const before = this.#listening
    if (before?.port === port && before.server.listening) return
    const server = this.#createServer()
    const opened = await open(server, port)
    this.#listening = { server, port: opened }
    this.#log.info('credentials are served to applications', { address: `${host}:${opened}` })
    if (before !== undefined) await end(before.server)
  }

  /** Replaces what is served; counts and limits of applications that stay go on. */
  serve(applications: readonly ServedApplication[]): void {
    const before = this.#applications
    this.#applications = new Map(
      applications.map((application) => {
        const { limit, tally } = before.get(application.name) ?? {
          limit: new RateLimit(perApplication),
          tally: { count: 0 },
        }
        return [application.name, { ...application, limit, tally }]
      }),
    )
  }

  /** The token that an application is served with; undefined when it is not. */
  tokenOf(name: string): string | undefined {
    return this.#applications.get(name)?.token
  }

  /** How often credentials were handed to an application. */
  servedCount(name: string): number {
    return this.#applications.get(name)?.tally.count ?? 0
  }

  /** Serves nothing and listens no more; what is being answered gets a second. */
  async close(): Promise<void> {
    const before = this.#listening
    this.#listening = undefined
    this.#applications = new Map()
    if (before !== undefined) await end(before.server)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Bounded in everything that a stranger could use up: connections, time, bytes, and no connection is used twice. */
  #createServer(): Server {
    const server = createServer(
      { connectionsCheckingInterval: 500, maxHeaderSize: 8_192, requestTimeout: 2_000, headersTimeout: 2_000 },
      (request, response) => {
        void this.#answer(request).then((reply) => {
          send(response, reply)
        })
      },
    )
    server.maxConnections = 64
    return server
  }

  async #answer({ method, url, headers, socket }: IncomingMessage): Promise<Reply> {
    const asked = readCredentialsRequest({ method, url, headers, port: socket.localPort ?? 0 })
    if (asked.kind === 'refused') return refusal(asked.refusal)
    const application = this.#applications.get(asked.application)
    const isRight = isSameToken(asked.token, application?.token ?? this.#decoy)
    if (application === undefined || !isRight) return this.#wrongToken(application?.name)
    if (!application.limit.take()) return refusal(tooMany('requests of this application'))
    try {
      const deadline = { signal: never, withinMs: this.#answerWithinMs, what: 'fetching the credentials' }
      const held = await withDeadline(deadline, application.credentials)
      application.tally.count += 1
      return { status: 200, body: containerCredentials(held) }
    } catch (error) {
      return unavailable(application.name, error)
    }
  }

  #wrongToken(name: string | undefined): Reply {
    const whose = name === undefined ? 'an application that is not configured' : `the application ${name}`
    const error = new AgentError(`a request came without the token of ${whose}`, {
      retryable: true,
      hint: 'an application has to be started with its own aws.env, and again where that was made anew',
    })
    this.#refusals.failed('credentials were refused', error)
    if (!this.#wrongTokens.take()) return refusal(tooMany('requests with a wrong token'))
    return refusal({
      status: 401,
      code: 'WrongToken',
      message: 'Authorization is not the token of an application of this name; it is in its aws.env',
    })
  }
}

const never = new AbortController().signal

/**
 * Expiration is in terms of the system clock, whatever it is off by: an SDK compares it with that clock, and would ask
 * too late, or be content with nothing, if it were cloud time.
 */
function containerCredentials({ accessKeyId, secretAccessKey, sessionToken, expiresMs }: HeldCredentials) {
  const expiration = new Date(Date.now() + expiresMs - monotonicMs())
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: sessionToken,
    Expiration: expiration.toISOString().replace(/\.\d+Z$/, 'Z'),
  }
}

/** Whatever the reason: SDKs try again after a 5xx, and the agent does so too. */
function unavailable(name: string, error: unknown): Reply {
  const { message, hint } = reportError(error)
  const text = `the application ${name} has no credentials now: ${message}${hint === undefined ? '' : ` (${hint})`}`
  return refusal({ status: 503, code: 'CredentialsUnavailable', message: text })
}

function tooMany(what: string): Refusal {
  return { status: 429, code: 'TooManyRequests', message: `too many ${what}` }
}

/** Most SDKs read `code` and `message`; that for JavaScript spells them with capitals. */
function refusal({ status, code, message }: Refusal): Reply {
  const headers = { ...(status === 405 ? { allow: 'GET' } : {}), ...(status === 429 ? { 'retry-after': '1' } : {}) }
  return { status, headers, body: { code, message, Code: code, Message: message } }
}

/** The media type without parameters: the SDK for Go compares it as a whole. */
function send(response: ServerResponse, { status, headers = {}, body }: Reply): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    connection: 'close',
    ...headers,
  })
  response.end(text)
}

async function open(server: Server, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  server.once('error', reject)
  server.listen({ host, port }, () => {
    resolve(undefined)
  })
  await promise.catch((cause: unknown) => {
    throw notToBeHad(port, cause)
  })
  server.off('error', reject)
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

function notToBeHad(port: number, cause: unknown): AgentError {
  const isTaken = errorCode(cause) === 'EADDRINUSE'
  const why = isTaken ? 'another process has it' : (errorCode(cause) ?? 'unknown error')
  return new AgentError(`credentials cannot be served to applications on ${host}:${port}: ${why}`, {
    retryable: true,
    hint: isTaken
      ? `find it with ss -ltnp "sport = :${port}" and stop it, or set applicationCredentials.port; the agent keeps trying`
      : 'set another applicationCredentials.port; the agent keeps trying',
  })
}

async function end(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  server.close(() => {
    resolve(undefined)
  })
  const late = setTimeout(() => {
    server.closeAllConnections()
  }, endWithinMs)
  await promise
  clearTimeout(late)
}
