import { isIP, type Socket } from 'node:net'
import { connect, type DetailedPeerCertificate, type PeerCertificate, type TLSSocket } from 'node:tls'

import type { Validity } from '../credentials/server-clock.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { rootCertificatesOf, type Trust } from './trust.ts'
import { isCertificateCode, UntrustedServerError } from './untrusted-server.ts'
import { verifyChainIgnoringDates } from './verify-chain.ts'

/** Between which dates the certificates behind a connection are valid, and whether TLS has checked that. */
export interface ChainDates {
  readonly validity: Validity | undefined
  readonly datesUnchecked: boolean
}

export interface SecureConnection {
  readonly socket: TLSSocket
  readonly dates: ChainDates
}

export interface SecureConnectionOptions {
  /** Whom the certificate has to be for, and what SNI says unless it is an address. */
  readonly servername: string
  readonly trust: Trust
  /** For ALPN. */
  readonly protocols: readonly string[]
  /** The bound on all that one attempt does: the way there, and the handshake. */
  readonly withinMs: number
  /** A connection to speak TLS on. Called once more for each further attempt. */
  readonly open: (signal: AbortSignal) => Promise<Socket>
}

const clockCodes = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'])

/**
 * TLS as Node does it, with two additions. When a handshake fails because the server's certificate is not valid at the
 * time that the system clock shows, it connects once more and checks chain and host itself, everything but the dates,
 * before a single byte is sent. An untrusted server reports the same code under a wrong clock, so the code alone is never
 * believed. And of a server that is not trusted it asks once more who has issued its certificate, for the error to say.
 */
export async function connectSecurely(options: SecureConnectionOptions): Promise<SecureConnection> {
  try {
    const socket = await handshake(options, { rejectUnauthorized: true })
    return { socket, dates: { validity: validityOf(socket.getPeerCertificate()), datesUnchecked: false } }
  } catch (error) {
    if (error instanceof AgentError) throw error // of the way there
    const code = errorCode(error) ?? ''
    if (clockCodes.has(code)) return await connectIgnoringDates(options)
    throw isCertificateCode(code) ? await namingIssuer(error, code, options) : error
  }
}

async function connectIgnoringDates(options: SecureConnectionOptions): Promise<SecureConnection> {
  const socket = await handshake(options, { rejectUnauthorized: false })
  const presented = socket.getPeerCertificate(true)
  try {
    const certificates = presentedCertificates(presented)
    const roots = rootCertificatesOf(options.trust)
    const validity = await verifyChainIgnoringDates({ host: options.servername, certificates, roots })
    return { socket, dates: { validity, datesUnchecked: true } }
  } catch (error) {
    socket.destroy()
    throw error instanceof UntrustedServerError ? error.issuedBy(issuerOf(presented)) : error
  }
}

async function namingIssuer(error: unknown, code: string, options: SecureConnectionOptions): Promise<unknown> {
  try {
    const socket = await handshake(options, { rejectUnauthorized: false })
    const issuer = issuerOf(socket.getPeerCertificate())
    socket.destroy()
    return new UntrustedServerError(options.servername, reasonOf(code), { code, issuer })
  } catch {
    return error
  }
}

async function handshake(
  { servername, trust, protocols, withinMs, open }: SecureConnectionOptions,
  { rejectUnauthorized }: { readonly rejectUnauthorized: boolean },
): Promise<TLSSocket> {
  using end = new DisposableStack()
  const late = new AbortController()
  const timer = setTimeout(() => {
    late.abort(connectTimeout(servername, withinMs))
  }, withinMs)
  end.defer(() => {
    clearTimeout(timer)
  })
  const raw = await open(late.signal)
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const socket = connect({
    socket: raw,
    host: servername,
    servername: isIP(servername) === 0 ? servername : '',
    rejectUnauthorized,
    secureContext: trust.secureContext,
    ALPNProtocols: [...protocols],
  })
  const onLate = (): void => {
    socket.destroy(late.signal.reason as Error) // made above
  }
  late.signal.addEventListener('abort', onLate, { once: true })
  socket.once('secureConnect', resolve)
  socket.on('error', reject) // stays: an error before the request has its own listener must not end the process
  socket.once('close', () => {
    reject(connectionClosed(servername))
  })
  try {
    if (late.signal.aborted) onLate()
    await promise
    return socket
  } catch (error) {
    socket.destroy()
    raw.destroy()
    throw error
  } finally {
    late.signal.removeEventListener('abort', onLate)
  }
}

function connectTimeout(host: string, withinMs: number): Error {
  return Object.assign(new Error(`no connection to ${host} within ${withinMs} ms`), { code: 'ETIMEDOUT' })
}

function connectionClosed(host: string): Error {
  return Object.assign(new Error(`the connection to ${host} was closed during the handshake`), { code: 'ECONNRESET' })
}

function reasonOf(code: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return 'its certificate is for another name'
  return `no trusted root has issued its certificate (${code})`
}

function validityOf({ valid_from: from, valid_to: to }: PeerCertificate): Validity {
  return { notBeforeMs: Date.parse(from), notAfterMs: Date.parse(to) }
}

/** Of the topmost certificate that was sent: who would have to be trusted. */
function issuerOf(leaf: PeerCertificate): string | undefined {
  const { issuer } = leaf as { issuer?: Partial<Record<string, string | readonly string[]>> } // none in an empty certificate
  const name = issuer?.['CN'] ?? issuer?.['O']
  return typeof name === 'string' ? name : name?.[0]
}

/** What a server has presented, its own certificate first, in DER. */
export function presentedCertificates(leaf: DetailedPeerCertificate): readonly Uint8Array[] {
  const found: Uint8Array[] = []
  const seen = new Set<DetailedPeerCertificate>()
  let next = leaf as DetailedPeerCertificate | undefined // Node leaves the issuer out at the end of a broken chain
  while (next !== undefined && !seen.has(next)) {
    seen.add(next)
    if ('raw' in next) found.push(next.raw)
    next = next.issuerCertificate
  }
  return found
}
