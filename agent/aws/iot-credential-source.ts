import type { ClientRequest, IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'

import { withDeadline } from '../lib/abort.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { CredentialSource, FetchedCredentials } from '../credentials/credential-source.ts'
import type { DateSample } from '../credentials/server-clock.ts'
import type { Dialer } from './dialer.ts'
import { ClockTolerantAgent } from './https-agent.ts'
import {
  CredentialsError,
  credentialsRefused,
  credentialsUnreachable,
  type CredentialsRequest,
} from './iot-credential-errors.ts'
import { parseIotCredentials } from './iot-credential-answer.ts'
import { createTrust } from './trust.ts'

/** The certificate, the key and the roots, in PEM. */
export interface ClientIdentity {
  readonly certificate: string
  readonly privateKey: string
  readonly roots: string
}

export interface IotCredentialSourceOptions {
  /** Host or host:port of the CredentialProvider endpoint; the host is also the SNI and must be exact. */
  readonly endpoint: string
  readonly roleAlias: string
  readonly thingName: string
  /** Read anew at every fetch, so that an identity that arrives or changes later is found. */
  readonly loadIdentity: (signal: AbortSignal) => Promise<ClientIdentity>
  readonly cloudNow: () => number
  /** Learns from the answer's `Date`; answers whether it was believed. */
  readonly onDate: (sample: DateSample) => boolean
  readonly lookup?: LookupFunction
  readonly dialer?: Dialer
}

const connectWithinMs = 5_000
const answerWithinMs = 15_000
const maxBodyBytes = 65_536

/**
 * `GET /role-aliases/<alias>/credentials` with the device certificate (AWS IoT Core Developer Guide, "Authorizing
 * direct calls to AWS services"). Every fetch uses a fresh connection: fetches are far apart, and AWS IoT offers no
 * session tickets. Throws CredentialsError, DeadlineError, or what `loadIdentity` threw.
 */
export function createIotCredentialSource(options: IotCredentialSourceOptions): CredentialSource {
  return {
    fetch: async (signal) => {
      const identity = await options.loadIdentity(signal)
      const deadline = { signal, withinMs: answerWithinMs, what: 'the request for credentials' }
      try {
        return await withDeadline(deadline, async (inner) => await fetchOnce(options, identity, inner))
      } catch (error) {
        signal.throwIfAborted()
        throw credentialsUnreachable(error, options)
      }
    },
  }
}

async function fetchOnce(
  options: IotCredentialSourceOptions,
  { certificate, privateKey, roots }: ClientIdentity,
  signal: AbortSignal,
): Promise<FetchedCredentials> {
  const { lookup, dialer, onDate, cloudNow } = options
  const trust = createTrust({ roots: [roots], certificate, privateKey })
  const agent = new ClockTolerantAgent({
    trust: async () => await Promise.resolve(trust),
    keepAlive: false,
    connectWithinMs,
    ...(lookup === undefined ? {} : { lookup }),
    ...(dialer === undefined ? {} : { dialer }),
  })
  try {
    const sentMs = monotonicMs()
    const answer = await answerTo(sendRequest(options, agent, signal))
    const { date } = answer.headers
    const dates = agent.datesOf(answer.socket)
    const timeIsKnown = date !== undefined && onDate({ date, sentMs, receivedMs: monotonicMs(), ...dates })
    const body = await readBody(answer, options)
    const status = answer.statusCode ?? 0
    if (status === 200) return parseIotCredentials(body, { request: options, nowMs: cloudNow(), timeIsKnown })
    throw credentialsRefused({ status, errorType: String(answer.headers['x-amzn-errortype'] ?? ''), body }, options)
  } finally {
    agent.destroy()
  }
}

function sendRequest(
  { endpoint, roleAlias, thingName }: CredentialsRequest,
  agent: ClockTolerantAgent,
  signal: AbortSignal,
): ClientRequest {
  const url = new URL(`https://${endpoint}/role-aliases/${encodeURIComponent(roleAlias)}/credentials`)
  const request = httpsRequest(url, { agent, signal, headers: { 'x-amzn-iot-thingname': thingName } })
  request.end()
  return request
}

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request.once('response', resolve)
  request.on('error', reject)
  return await promise
}

async function readBody(answer: IncomingMessage, request: CredentialsRequest): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) {
      throw new CredentialsError('bad-answer', request, { text: `the answer is over ${maxBodyBytes} bytes` })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
