import { createHash, createHmac } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { CloudRequest } from '../../cloud/contract.ts'
import { signatureFault } from '../../cloud/signature-fault.ts'
import { verifySignature, type SignatureCheck, type SignatureProblem } from '../../cloud/sigv4.ts'

const nowMs = Date.UTC(2026, 5, 1, 12)
const credentials = {
  accessKeyId: 'ASIAAAAAAAAAAAAAAAAA',
  secretAccessKey: 'secret',
  sessionToken: 'token',
  expirationMs: nowMs + 3_600_000,
}

describe('verifySignature', () => {
  it.each(['/', '/key', '/a/../b', '/a//b', '/./x', '/a%2Fb', '/with%20space%2Bplus', '/%E2%82%AC'])(
    'takes the raw path %s of S3 as it is',
    async (rawPath) => {
      const { request, check } = signed({ service: 's3', rawPath, canonicalPath: rawPath })

      expect(await verifySignature(request, check)).toEqual({ ok: true, accessKeyId: credentials.accessKeyId })
    },
  )

  it.each([
    { rawPath: '/a/../b', canonicalPath: '/b' },
    { rawPath: '/a%20b', canonicalPath: '/a%2520b' },
  ])('normalises and escapes the path $rawPath of other services', async ({ rawPath, canonicalPath }) => {
    const { request, check } = signed({ service: 'logs', rawPath, canonicalPath })

    expect(await verifySignature(request, check)).toMatchObject({ ok: true })
  })

  it('sorts and escapes the query', async () => {
    const { request, check } = signed({
      rawQuery: 'prefix=a%2Fb%20c&list-type=2&flag',
      canonicalQuery: 'flag=&list-type=2&prefix=a%2Fb%20c',
    })

    expect(await verifySignature(request, check)).toMatchObject({ ok: true })
  })

  it.each<{ what: string; change: (request: CloudRequest) => CloudRequest; kind: SignatureProblem['kind'] }>([
    { what: 'no Authorization', change: withHeader('authorization', undefined), kind: 'missing' },
    {
      what: 'a malformed Authorization',
      change: withHeader('authorization', 'AWS4-HMAC-SHA256 x'),
      kind: 'incomplete',
    },
    { what: 'another path', change: (request) => ({ ...request, rawPath: '/other' }), kind: 'mismatch' },
    { what: 'another method', change: (request) => ({ ...request, method: 'DELETE' }), kind: 'mismatch' },
    {
      what: 'another query',
      change: (request) => ({ ...request, query: new URLSearchParams('a=b') }),
      kind: 'mismatch',
    },
    { what: 'another signed header', change: withHeader('host', 'other.s3.localhost'), kind: 'mismatch' },
    { what: 'another body', change: (request) => ({ ...request, body: Buffer.from('other') }), kind: 'body-hash' },
    {
      what: 'an x-amz- header beside the signature',
      change: withHeader('x-amz-meta', 'new'),
      kind: 'unsigned-headers',
    },
    { what: 'no session token', change: withHeader('x-amz-security-token', undefined), kind: 'invalid-token' },
    { what: 'no date', change: withHeader('x-amz-date', undefined), kind: 'incomplete' },
  ])('refuses $what', async ({ change, kind }) => {
    const { request, check } = signed({})

    expect(await verifySignature(change(request), check)).toMatchObject({ ok: false, problem: { kind } })
  })

  it('hashes the body of a service that sends no x-amz-content-sha256', async () => {
    const { request, check } = signed({ service: 'logs', hashHeader: false, body: 'events' })

    expect(await verifySignature(request, check)).toMatchObject({ ok: true })
    expect(await verifySignature({ ...request, body: Buffer.from('other') }, check)).toMatchObject({
      problem: { kind: 'mismatch' },
    })
  })

  it.each<{ what: string; change: Partial<SignatureCheck>; kind: SignatureProblem['kind'] }>([
    { what: 'an unknown key', change: { findCredentials: () => undefined }, kind: 'unknown-key' },
    { what: 'an expired token', change: { nowMs: credentials.expirationMs }, kind: 'expired-token' },
    { what: 'another region', change: { region: 'eu-west-1' }, kind: 'wrong-scope' },
    { what: 'another service', change: { service: 'logs' }, kind: 'wrong-scope' },
    { what: 'a request of 15 minutes and a second ago', change: { nowMs: nowMs + 901_000 }, kind: 'skewed' },
    { what: 'a request from 15 minutes and a second ahead', change: { nowMs: nowMs - 901_000 }, kind: 'skewed' },
  ])('refuses $what', async ({ change, kind }) => {
    const { request, check } = signed({})

    expect(await verifySignature(request, { ...check, ...change })).toMatchObject({ ok: false, problem: { kind } })
  })

  it('refuses whatever else stands in the headers, and never throws', async () => {
    const { request, check } = signed({})
    const right = request.headers['authorization'] ?? ''
    const authorizations = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .tuple(
          fc.oneof(fc.constant(right.length), fc.nat(right.length)),
          fc.string({ unit: 'binary' }).filter((text) => text.trim() !== ''),
        )
        .map(([at, text]) => right.slice(0, at) + text + right.slice(at)),
      fc.stringMatching(/^[0-9a-f]{64}$/).map((signature) => right.slice(0, -64) + signature),
      fc.nat(right.length - 1).map((length) => right.slice(0, length)),
    )
    const paths = fc.oneof(fc.constant(request.rawPath), fc.webPath())
    const names = fc.constantFrom('host', 'x-amz-date', 'x-amz-content-sha256')
    const others = fc.oneof(fc.constant({}), fc.dictionary(names, fc.string({ unit: 'binary' })))

    await fc.assert(
      fc.asyncProperty(authorizations, others, paths, async (authorization, headers, rawPath) => {
        const changed = { ...request, rawPath, headers: { ...request.headers, ...headers, authorization } }
        expect(await verifySignature(changed, check)).toMatchObject({ ok: false })
      }),
    )
  })

  it('accepts a request that is 15 minutes off', async () => {
    const { request, check } = signed({})

    expect(await verifySignature(request, { ...check, nowMs: nowMs + 900_000 })).toMatchObject({ ok: true })
  })
})

describe('signatureFault', () => {
  it.each([
    ['s3', { kind: 'missing' }, 403, 'AccessDenied'],
    ['s3', { kind: 'unknown-key', accessKeyId: 'a' }, 403, 'InvalidAccessKeyId'],
    ['s3', { kind: 'expired-token' }, 400, 'ExpiredToken'],
    ['s3', { kind: 'mismatch' }, 403, 'SignatureDoesNotMatch'],
    ['s3', { kind: 'skewed', requestMs: 0, serverMs: 1 }, 403, 'RequestTimeTooSkewed'],
    ['logs', { kind: 'unknown-key', accessKeyId: 'a' }, 400, 'UnrecognizedClientException'],
    ['logs', { kind: 'invalid-token' }, 400, 'UnrecognizedClientException'],
    ['secretsmanager', { kind: 'expired-token' }, 400, 'ExpiredTokenException'],
    ['secretsmanager', { kind: 'mismatch' }, 400, 'InvalidSignatureException'],
    ['sts', { kind: 'expired-token' }, 403, 'ExpiredToken'],
    ['sts', { kind: 'unknown-key', accessKeyId: 'a' }, 403, 'InvalidClientTokenId'],
    ['sts', { kind: 'mismatch' }, 403, 'SignatureDoesNotMatch'],
  ] as const)('gives %s %j as %i %s', (service, problem, status, code) => {
    expect(signatureFault(service, problem)).toMatchObject({ status, code })
  })

  it('says by how much a signature is too old', () => {
    const fault = signatureFault('logs', { kind: 'skewed', requestMs: nowMs - 3_600_000, serverMs: nowMs })

    expect(fault.message).toBe(
      'Signature expired: 20260601T110000Z is now earlier than 20260601T114500Z (20260601T120000Z - 15 min.)',
    )
  })
})

interface Signing {
  readonly service?: string
  readonly rawPath?: string
  readonly canonicalPath?: string
  readonly rawQuery?: string
  readonly canonicalQuery?: string
  readonly body?: string
  readonly hashHeader?: boolean
}

/** Signs by the letter of "Create a signed AWS API request" (IAM User Guide), apart from the library under test. */
function signed({
  service = 's3',
  rawPath = '/key',
  canonicalPath = rawPath,
  rawQuery = '',
  canonicalQuery = rawQuery,
  body = '',
  hashHeader = true,
}: Signing): { request: CloudRequest; check: SignatureCheck } {
  const region = 'us-west-2'
  const bodyHash = createHash('sha256').update(body).digest('hex')
  const headers: Record<string, string> = {
    host: 'ap-123456789012.s3.localhost:9443',
    ...(hashHeader ? { 'x-amz-content-sha256': bodyHash } : {}),
    'x-amz-date': '20260601T120000Z',
    'x-amz-security-token': credentials.sessionToken,
  }
  const names = Object.keys(headers).sort().join(';')
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`)
  const canonical = ['GET', canonicalPath, canonicalQuery, lines.join(''), names, bodyHash].join('\n')
  const scope = `20260601/${region}/${service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', '20260601T120000Z', scope, createHash('sha256').update(canonical).digest('hex')]
  const key = ['20260601', region, service, 'aws4_request'].reduce<Buffer>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    Buffer.from(`AWS4${credentials.secretAccessKey}`),
  )
  const signature = createHmac('sha256', key).update(toSign.join('\n')).digest('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return {
    request: {
      id: 'r',
      method: 'GET',
      host: 'ap-123456789012.s3.localhost',
      rawPath,
      query: new URLSearchParams(rawQuery),
      rawQuery,
      headers: { ...headers, authorization, 'user-agent': 'unsigned' },
      body: Buffer.from(body),
      clientCertificate: undefined,
    },
    check: {
      service,
      region,
      nowMs,
      findCredentials: (id) => (id === credentials.accessKeyId ? credentials : undefined),
    },
  }
}

function withHeader(name: string, value: string | undefined): (request: CloudRequest) => CloudRequest {
  return (request) => {
    const others = Object.entries(request.headers).filter(([other]) => other !== name)
    return { ...request, headers: Object.fromEntries(value === undefined ? others : [...others, [name, value]]) }
  }
}
