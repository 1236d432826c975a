import { X509Certificate } from 'node:crypto'
import { isIP, type Socket } from 'node:net'
import { connect, getCACertificates, rootCertificates, type TLSSocket } from 'node:tls'

import type { DateSample, Validity } from '../credentials/server-clock.ts'
import type { Endpoint } from '../doctor/endpoint.ts'
import type { InspectTls, TlsInspection, Vouchers } from '../doctor/tls-inspection.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { Dialer } from './dialer.ts'
import { presentedCertificates } from './secure-connection.ts'
import { createTrust, rootCertificatesOf } from './trust.ts'
import { verifyChainIgnoringDates } from './verify-chain.ts'

export interface InspectTlsDeps {
  /** In PEM; shown to servers that ask for a certificate. Undefined while there is none. */
  readonly identity: { readonly certificate: string; readonly privateKey: string } | undefined
  /** Those of identity.rootCa in PEM; may be empty. */
  readonly ownRoots: string
  /** Learns from the `Date` of a server that is trusted. */
  readonly onDate: (sample: DateSample) => void
  readonly dialer: Pick<Dialer, 'dial'>
}

const connectWithinMs = 6_000
const headWithinMs = 3_000
const maxHeadBytes = 16_384

/**
 * A handshake that takes every certificate, which is then looked at; HTTP only with a server that is trusted. Throws a ProxyError when a
 * proxy makes no tunnel.
 */
export function createInspectTls(deps: InspectTlsDeps): InspectTls {
  return async (endpoint, signal) => {
    const way = await dial(endpoint, deps.dialer, signal)
    if ('kind' in way) return way
    const { socket, ready, stop } = begin(way, { endpoint, deps, signal })
    try {
      const failure = await ready
      if (failure !== undefined) return failure
      return await inspect(socket, endpoint, deps)
    } finally {
      stop()
    }
  }
}

interface Begun {
  readonly socket: TLSSocket
  /** What kept it from a handshake, if anything did. */
  readonly ready: Promise<TlsInspection | undefined>
  readonly stop: () => void
}

async function dial(
  { host, port }: Endpoint,
  dialer: InspectTlsDeps['dialer'],
  signal: AbortSignal,
): Promise<Socket | TlsInspection> {
  try {
    return await dialer.dial({ host, port }, AbortSignal.any([signal, AbortSignal.timeout(connectWithinMs)]))
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof AgentError) throw error
    const isLate = error instanceof Error && error.name === 'TimeoutError'
    return failureOf(isLate ? 'ETIMEDOUT' : (errorCode(error) ?? 'EUNKNOWN'))
  }
}

interface BeginOptions {
  readonly endpoint: Endpoint
  readonly deps: InspectTlsDeps
  readonly signal: AbortSignal
}

function begin(way: Socket, { endpoint: { host }, deps, signal }: BeginOptions): Begun {
  const { identity, ownRoots } = deps
  const { certificate, privateKey } = identity ?? {}
  const { secureContext } = createTrust({
    roots: [...rootCertificates, ownRoots],
    ...(certificate === undefined || privateKey === undefined ? {} : { certificate, privateKey }),
  })
  const { promise: ready, resolve, reject } = Promise.withResolvers<TlsInspection | undefined>()
  const servername = isIP(host) === 0 ? host : ''
  const socket = connect({ socket: way, host, servername, secureContext, rejectUnauthorized: false })
  socket.once('secureConnect', () => {
    resolve(undefined)
  })
  socket.on('error', (error) => {
    resolve(failureOf(errorCode(error) ?? error.name))
  })
  socket.once('close', () => {
    resolve(failureOf('ECONNRESET'))
  })
  const timer = setTimeout(() => {
    resolve(failureOf('ETIMEDOUT'))
  }, connectWithinMs)
  const onAbort = (): void => {
    reject(signal.reason)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  const stop = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    socket.destroy()
    way.destroy()
  }
  if (signal.aborted) onAbort()
  return { socket, ready, stop }
}

/** What is not TLS is told by OpenSSL with one of these; alerts of a server are TLS. */
function failureOf(code: string): TlsInspection {
  const isNoTls =
    /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNKNOWN_PROTOCOL|BAD_RECORD_TYPE)$/.test(code)
  return { kind: isNoTls ? 'no-tls' : 'unreachable', code }
}

async function inspect(socket: TLSSocket, endpoint: Endpoint, deps: InspectTlsDeps): Promise<TlsInspection> {
  const certificates = presentedCertificates(socket.getPeerCertificate(true))
  const [der] = certificates
  if (der === undefined) return { kind: 'unreachable', code: 'NO_CERTIFICATE' }
  const leaf = new X509Certificate(der)
  const { host, isMqtt, trustsRootCaOnly } = endpoint
  const namesHost = (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined
  const { vouchers, validity } = await whoVouches(host, certificates, deps.ownRoots)
  const { notBeforeMs, notAfterMs } = validity ?? datesOf(leaf)
  const isTrusted = vouchers.own || (!trustsRootCaOnly && (vouchers.isPublic || vouchers.system))
  const http = isTrusted && !isMqtt ? await askHead(socket, { host, validity, onDate: deps.onDate }) : undefined
  return {
    kind: 'answered',
    protocol: socket.getProtocol() ?? 'TLS',
    issuer: shortName(leaf.issuer),
    subject: shortName(leaf.subject),
    namesHost,
    vouchers,
    notBeforeMs,
    notAfterMs,
    code: codeOf(socket, vouchers),
    http,
  }
}

/** What the context of this handshake, which knows no root of the system's, finds wrong beyond dates and roots. */
function codeOf({ authorizationError: error }: TLSSocket, { isPublic, own }: Vouchers): string | undefined {
  const code = (error as Error | string | undefined | null)?.toString() // Node's types say Error, its code gives a string
  if (code === undefined || code === '' || /NOT_YET_VALID|HAS_EXPIRED/.test(code)) return undefined
  return isPublic || own ? code : undefined
}

async function whoVouches(
  host: string,
  certificates: readonly Uint8Array[],
  ownRoots: string,
): Promise<{ readonly vouchers: Vouchers; readonly validity: Validity | undefined }> {
  const by = async (pems: readonly string[]): Promise<Validity | undefined> => {
    const roots = rootCertificatesOf({ roots: pems })
    return await verifyChainIgnoringDates({ host, certificates, roots }).catch(() => undefined)
  }
  const [own, isPublic] = [await by([ownRoots]), await by(rootCertificates)]
  const system = await by(getCACertificates('system'))
  return {
    vouchers: { own: own !== undefined, isPublic: isPublic !== undefined, system: system !== undefined },
    validity: own ?? isPublic ?? system,
  }
}

function datesOf({ validFromDate, validToDate }: X509Certificate): Validity {
  return { notBeforeMs: validFromDate.getTime(), notAfterMs: validToDate.getTime() }
}

/** The common name, or the organisation where there is none. */
function shortName(name: string): string {
  const fields = new Map(
    name.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  return fields.get('CN') ?? fields.get('O') ?? name
}

interface HeadOptions {
  readonly host: string
  readonly validity: Validity | undefined
  readonly onDate: InspectTlsDeps['onDate']
}

async function askHead(
  socket: TLSSocket,
  { host, validity, onDate }: HeadOptions,
): Promise<{ readonly status: number; readonly isHtml: boolean } | undefined> {
  const sentMs = monotonicMs()
  const head = await readHead(socket, host)
  const receivedMs = monotonicMs()
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]
  const date = /^date: *([^\r\n]+)/im.exec(head)?.[1]
  if (date !== undefined && !/^age:/im.test(head)) {
    const nowMs = Date.now()
    const datesUnchecked = validity !== undefined && (nowMs < validity.notBeforeMs || nowMs > validity.notAfterMs)
    onDate({ date, sentMs, receivedMs, validity, datesUnchecked })
  }
  if (status === undefined) return undefined
  return { status: Number(status), isHtml: /^content-type: *text\/html/im.test(head) }
}

/** An empty text when none comes in time: MQTT is not the only thing that does not speak HTTP. */
async function readHead(socket: TLSSocket, host: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const end = (): void => {
    resolve(undefined)
  }
  let head = ''
  const timer = setTimeout(end, headWithinMs)
  socket.once('end', end)
  socket.once('close', end)
  socket.on('data', (bytes: Buffer) => {
    head += bytes.toString('latin1')
    if (head.includes('\r\n\r\n') || head.length > maxHeadBytes) end()
  })
  socket.write(`HEAD / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  await promise
  clearTimeout(timer)
  return head.split('\r\n\r\n')[0] ?? ''
}
