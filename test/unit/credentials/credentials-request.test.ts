import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { pathOf, readCredentialsRequest, type RequestHead } from '../../../agent/credentials/credentials-request.ts'

const port = 9912

function head(change: Partial<RequestHead> = {}): RequestHead {
  const headers = { host: `127.0.0.1:${port}`, authorization: 'the-token', ...change.headers }
  return { method: 'GET', url: '/v1/applications/people-counter', port, ...change, headers }
}

function statusOf(change: Partial<RequestHead>): number | undefined {
  const read = readCredentialsRequest(head(change))
  return read.kind === 'refused' ? read.refusal.status : undefined
}

describe('a request for credentials', () => {
  test('is for the application in its path, with Authorization as it is', () => {
    expect(readCredentialsRequest(head())).toEqual({ kind: 'for', application: 'people-counter', token: 'the-token' })
  })

  test('may call the host by the name that resolves to it', () => {
    expect(statusOf({ headers: { host: `localhost:${port}` } })).toBeUndefined()
  })

  test.each([
    'attacker.example',
    `attacker.example:${port}`,
    '127.0.0.1',
    '127.0.0.1:80',
    `127.0.0.1.nip.io:${port}`,
    `127.0.0.1:${port}.`,
    `[::1]:${port}`,
    `user@127.0.0.1:${port}`,
    '',
  ])('is refused with Host %j', (host) => {
    expect(statusOf({ headers: { host } })).toBe(403)
  })

  test('is refused without Host', () => {
    const { headers, ...rest } = head()
    expect(readCredentialsRequest({ ...rest, headers: { authorization: headers.authorization } })).toMatchObject({
      refusal: { status: 403 },
    })
  })

  test.each([
    { origin: 'http://127.0.0.1:9912' },
    { origin: 'null' },
    { origin: '' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-mode': 'no-cors' },
    { 'sec-fetch-anything': '' },
  ])('is refused when it comes from a browser: %j', (headers) => {
    expect(statusOf({ headers: { host: `127.0.0.1:${port}`, ...headers } })).toBe(403)
  })

  test.each(['POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'get', undefined])('is refused as %s', (method) => {
    expect(statusOf({ method })).toBe(405)
  })

  test.each([
    '/',
    '/v1/applications',
    '/v1/applications/',
    '/v1/applications/a/',
    '/v1/applications/a?x=1',
    '/v1/applications/a#x',
    '/v1/applications/../status',
    '/v1/applications/%61',
    '/v1/applications/.hidden',
    '//v1/applications/a',
    'http://127.0.0.1:9912/v1/applications/a',
    `/v1/applications/${'a'.repeat(65)}`,
    undefined,
  ])('finds nothing at %j', (url) => {
    expect(statusOf({ url })).toBe(404)
  })

  test('is read whatever it is, and never for a name that no application can have', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (url, host, authorization) => {
        const read = readCredentialsRequest(head({ url, headers: { host, authorization } }))
        return read.kind === 'refused' || pathOf(read.application) === url
      }),
    )
  })
})
