import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

import { SignatureV4 } from '@smithy/signature-v4'

import type { CloudRequest } from './contract.ts'
import type { IssuedCredentials } from './sessions.ts'

/** Why a signature is refused; each protocol has its own code for it. */
export type SignatureProblem =
  | { readonly kind: 'missing' }
  | { readonly kind: 'incomplete'; readonly reason: string }
  | { readonly kind: 'unknown-key'; readonly accessKeyId: string }
  | { readonly kind: 'invalid-token' }
  | { readonly kind: 'expired-token' }
  | { readonly kind: 'wrong-scope'; readonly scope: string; readonly expected: string }
  | { readonly kind: 'skewed'; readonly requestMs: number; readonly serverMs: number }
  | { readonly kind: 'unsigned-headers'; readonly names: readonly string[] }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'body-hash' }

export type SignatureResult =
  { readonly ok: true; readonly accessKeyId: string } | { readonly ok: false; readonly problem: SignatureProblem }

export interface SignatureCheck {
  /** As in the credential scope. */
  readonly service: string
  readonly region: string
  readonly nowMs: number
  readonly findCredentials: (accessKeyId: string) => IssuedCredentials | undefined
}

interface Authorization {
  readonly accessKeyId: string
  /** Date, region, service and `aws4_request`. */
  readonly scope: readonly string[]
  readonly signedHeaders: readonly string[]
  readonly signature: string
}

/** How far a request's time may be off. */
export const maxSkewMs = 15 * 60_000

const unhashedPayloads = ['UNSIGNED-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER']

/**
 * Verifies the signature of a request with temporary credentials ("AWS Signature Version 4 for API requests", IAM User
 * Guide): known key, its own session token, both not expired, scope, time, every x-amz- header signed, signature, and
 * the hash of the body. Presigned URLs are not known here.
 */
export async function verifySignature(request: CloudRequest, check: SignatureCheck): Promise<SignatureResult> {
  const authorization = parseAuthorization(request.headers['authorization'])
  if ('kind' in authorization) return refuse(authorization)
  const { accessKeyId } = authorization
  const credentials = check.findCredentials(accessKeyId)
  if (credentials === undefined) return refuse({ kind: 'unknown-key', accessKeyId })
  const problem =
    tokenProblem(request, credentials, check.nowMs) ??
    scopeProblem(authorization, check) ??
    timeProblem(request, authorization, check.nowMs) ??
    headerProblem(request, authorization) ??
    (await signatureProblem({ request, authorization, credentials, check })) ??
    bodyProblem(request, check.service)
  return problem === undefined ? { ok: true, accessKeyId } : refuse(problem)
}

function refuse(problem: SignatureProblem): SignatureResult {
  return { ok: false, problem }
}

function parseAuthorization(header: string | undefined): Authorization | SignatureProblem {
  if (header === undefined) return { kind: 'missing' }
  const match =
    /^AWS4-HMAC-SHA256 +Credential=([^/,\s]+)\/([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})$/.exec(
      header,
    )
  const [, accessKeyId, scope, signedHeaders, signature] = match ?? []
  if (accessKeyId === undefined || scope === undefined || signedHeaders === undefined || signature === undefined) {
    return { kind: 'incomplete', reason: 'Authorization header requires Credential, SignedHeaders and Signature.' }
  }
  return { accessKeyId, scope: scope.split('/'), signedHeaders: signedHeaders.split(';'), signature }
}

function tokenProblem(
  { headers }: CloudRequest,
  { sessionToken, expirationMs }: IssuedCredentials,
  nowMs: number,
): SignatureProblem | undefined {
  if (headers['x-amz-security-token'] !== sessionToken) return { kind: 'invalid-token' }
  return nowMs >= expirationMs ? { kind: 'expired-token' } : undefined
}

function scopeProblem({ scope }: Authorization, { region, service }: SignatureCheck): SignatureProblem | undefined {
  const found = scope.slice(1).join('/')
  const expected = `${region}/${service}/aws4_request`
  return found === expected ? undefined : { kind: 'wrong-scope', scope: found, expected }
}

function timeProblem(request: CloudRequest, { scope }: Authorization, nowMs: number): SignatureProblem | undefined {
  const requestMs = requestTime(request)
  if (requestMs === undefined)
    return { kind: 'incomplete', reason: "Authorization header requires existence of 'X-Amz-Date'." }
  if (Math.abs(requestMs - nowMs) > maxSkewMs) return { kind: 'skewed', requestMs, serverMs: nowMs }
  return request.headers['x-amz-date']?.startsWith(scope[0] ?? '?') === true
    ? undefined
    : {
        kind: 'incomplete',
        reason: 'Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.',
      }
}

function headerProblem({ headers }: CloudRequest, { signedHeaders }: Authorization): SignatureProblem | undefined {
  const mustSign = Object.keys(headers).filter((name) => name === 'host' || name.startsWith('x-amz-'))
  const names = mustSign.filter((name) => !signedHeaders.includes(name))
  return names.length === 0 ? undefined : { kind: 'unsigned-headers', names }
}

async function signatureProblem(options: {
  readonly request: CloudRequest
  readonly authorization: Authorization
  readonly credentials: IssuedCredentials
  readonly check: SignatureCheck
}): Promise<SignatureProblem | undefined> {
  const { request, authorization, credentials, check } = options
  const { accessKeyId, secretAccessKey } = credentials
  const signer = new SignatureV4({
    service: check.service,
    region: check.region,
    // Without the session token: it already is one of the signed headers.
    credentials: { accessKeyId, secretAccessKey },
    sha256: Sha256,
    applyChecksum: false,
    uriEscapePath: check.service !== 's3',
  })
  const signed = await signer.sign(canonicalRequest(request, authorization.signedHeaders), {
    signingDate: new Date(requestTime(request) ?? NaN),
    signableHeaders: new Set(authorization.signedHeaders),
  })
  const expected = /Signature=([0-9a-f]{64})$/.exec(signed.headers['authorization'] ?? '')?.[1] ?? ''
  return sameText(expected, authorization.signature) ? undefined : { kind: 'mismatch' }
}

function canonicalRequest(
  request: CloudRequest,
  signedHeaders: readonly string[],
): Parameters<SignatureV4['sign']>[0] & object {
  const names = signedHeaders.filter((name) => request.headers[name] !== undefined)
  return {
    method: request.method,
    protocol: 'https:',
    hostname: request.host,
    path: request.rawPath,
    query: queryBag(request.query),
    headers: Object.fromEntries(names.map((name) => [name, request.headers[name] ?? ''])),
    body: request.body,
  }
}

function queryBag(query: URLSearchParams): Record<string, string[]> {
  return Object.fromEntries([...new Set(query.keys())].map((key) => [key, query.getAll(key)]))
}

function bodyProblem({ headers, body }: CloudRequest, service: string): SignatureProblem | undefined {
  const stated = headers['x-amz-content-sha256']
  if (stated === undefined)
    return service === 's3' ? { kind: 'incomplete', reason: 'Missing x-amz-content-sha256' } : undefined
  if (service === 's3' && unhashedPayloads.includes(stated)) return undefined
  return stated === createHash('sha256').update(body).digest('hex') ? undefined : { kind: 'body-hash' }
}

function requestTime({ headers }: CloudRequest): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(headers['x-amz-date'] ?? '')
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1)
  const timeMs = Date.parse(`${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}Z`)
  return Number.isNaN(timeMs) ? undefined : timeMs
}

function sameText(left: string, right: string): boolean {
  return left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right))
}

type HashInput = string | ArrayBuffer | ArrayBufferView

class Sha256 {
  readonly #hash

  constructor(secret?: HashInput) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret))
  }

  update(data: HashInput): void {
    this.#hash.update(bytesOf(data))
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest())
  }
}

function bytesOf(data: HashInput): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data)
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
}
