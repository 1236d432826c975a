import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

import { AgentError } from '../lib/errors.ts'

/** What shows that somebody in the network answers for everybody else. */
export interface PortalSign {
  /** What it did, in words. */
  readonly what: string
  /** The host that it wants a person to go to, where it says so. */
  readonly page?: string | undefined
}

/** Something in the network answers in the place of a server: a page to log in at, as a rule. Nothing was sent to it. */
export class CaptivePortalError extends AgentError {
  override readonly name = 'CaptivePortalError'
  readonly page: string | undefined

  constructor(host: string, { what, page }: PortalSign) {
    super(`something in the network answers in the place of ${host}: ${what}`, {
      retryable: true,
      hint:
        `this network may want somebody to log in first${page === undefined ? '' : ` (its page is at ${page})`}, or to ` +
        'pay: do so, or have it let the appliance out without; the agent then goes on by itself',
    })
    this.page = page
  }
}

/** Whether a failed handshake was answered by something that speaks no TLS (OpenSSL's reasons, as Node codes them). */
export function isPlainAnswer(code: string): boolean {
  return /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|RECORD_TOO_SMALL|WRONG_SSL_VERSION)$/.test(
    code,
  )
}

export interface PortalSearch {
  readonly host: string
  /** To port 80 of the host. */
  readonly socket: Socket
  readonly signal: AbortSignal
}

/**
 * Asks a service of AWS for `/` without TLS, as a phone does that joins a network. AWS answers with an error, a redirect to
 * itself, or not at all. A page, or a redirect to somebody else, is a portal's. Throws what keeps an answer away.
 */
export async function lookForPortal({ host, socket, signal }: PortalSearch): Promise<PortalSign | undefined> {
  try {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const request = httpRequest({ path: '/', createConnection: () => socket, headers: { host }, signal })
    request.once('response', resolve)
    request.on('error', reject)
    request.end()
    const { statusCode: status = 0, headers } = await promise
    return portalSign(status, headers)
  } finally {
    socket.destroy()
  }
}

/** What an answer to a request without TLS shows. */
export function portalSign(status: number, headers: IncomingHttpHeaders): PortalSign | undefined {
  if (status === 511) return { what: 'it wants a login (HTTP 511)' }
  if (isOfAws(headers)) return undefined
  const page = pageOf(headers.location)
  if (status >= 300 && status < 400 && page !== undefined && !awsHost.test(page)) {
    return { what: `requests are sent on to ${page} (HTTP ${status})`, page }
  }
  return status >= 200 && status < 300 && isPage(headers) ? { what: `a web page (HTTP ${status})` } : undefined
}

/** Of the answer of a service: whether it is a web page that is none of AWS's. */
export function isForeignPage(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  return isPage(headers) && !isOfAws(headers)
}

const awsHost = /(^|\.)(amazonaws\.com(\.cn)?|aws\.amazon\.com|api\.aws|amazon\.com)$/i

function isPage(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  return /^text\/html\b/i.test(String(headers['content-type'] ?? ''))
}

/** Every answer of a service has an id of its request. */
function isOfAws(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  return Object.keys(headers).some((name) => /^x-amzn?-/i.test(name)) || headers['server'] === 'AmazonS3'
}

/** The host alone: what follows it may name the appliance, or hold a token. */
function pageOf(location: string | undefined): string | undefined {
  const host = location === undefined ? '' : (URL.parse(location)?.hostname ?? '')
  return /^[A-Za-z0-9.[\]:-]{1,120}$/.test(host) ? host : undefined
}
