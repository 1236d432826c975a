import { expect, test } from 'vitest'

import { tlsCheck, tlsOutcome } from '../../../agent/doctor/tls-check.ts'
import type { TlsInspection } from '../../../agent/doctor/tls-inspection.ts'
import { endpoint } from './endpoint-fixture.ts'

const nowMs = Date.parse('2027-01-01T00:00:00Z')
const amazon = { own: true, isPublic: true, system: true }
const mqtt = {
  key: 'mqtt',
  host: 'a1-ats.iot.us-west-2.amazonaws.com',
  port: 8883,
  trustsRootCaOnly: true,
  isMqtt: true,
}

type Answered = Extract<TlsInspection, { kind: 'answered' }>

function answered(more: Partial<Answered> = {}): Answered {
  return {
    kind: 'answered',
    protocol: 'TLSv1.3',
    issuer: 'Amazon RSA 2048 M02',
    subject: 'logs.us-west-2.amazonaws.com',
    namesHost: true,
    vouchers: amazon,
    notBeforeMs: nowMs - 86_400_000,
    notAfterMs: nowMs + 86_400_000,
    code: undefined,
    http: { status: 404, isHtml: false },
    ...more,
  }
}

test('passes a server of Amazon', () => {
  expect(tlsOutcome(endpoint(), answered(), nowMs)).toEqual({
    level: 'pass',
    text: 'logs.us-west-2.amazonaws.com:443 by TLSv1.3, certificate by "Amazon RSA 2048 M02" until 2027-01-02',
  })
})

test('says that a middlebox replaces the certificate where the appliance was made to trust it', () => {
  const vouchers = { own: false, isPublic: false, system: true }
  expect(tlsOutcome(endpoint(), answered({ issuer: 'Corp Proxy CA', vouchers }), nowMs)).toMatchObject({
    level: 'warn',
    text: expect.stringContaining(
      'a middlebox replaces the certificate of logs.us-west-2.amazonaws.com: it is issued by "Corp Proxy CA"',
    ) as unknown,
    hint: expect.stringContaining('without TLS inspection') as unknown,
  })
})

test('says so of an endpoint that trusts identity.rootCa alone, as a failure', () => {
  const vouchers = { own: false, isPublic: false, system: true }
  expect(tlsOutcome(endpoint(mqtt), answered({ issuer: 'Corp Proxy CA', vouchers }), nowMs)).toMatchObject({
    level: 'fail',
    text: expect.stringContaining('which the system trusts and identity.rootCa does not') as unknown,
    hint: expect.stringContaining('client certificate') as unknown,
  })
})

test('does not suspect an endpoint of the operator, such as one in a VPC, of being in the middle', () => {
  const vouchers = { own: true, isPublic: false, system: false }
  expect(tlsOutcome(endpoint({ host: 'logs.factory.example' }), answered({ vouchers }), nowMs).level).toBe('pass')
})

test('names a root that identity.rootCa lacks', () => {
  const vouchers = { own: false, isPublic: true, system: true }
  expect(tlsOutcome(endpoint(mqtt), answered({ issuer: 'VeriSign', vouchers }), nowMs)).toMatchObject({
    level: 'fail',
    text: expect.stringContaining('a public authority that identity.rootCa does not hold') as unknown,
    hint: expect.stringContaining('-ats') as unknown,
  })
})

test('names the issuer that nobody trusts, cut and without quotes of its own', () => {
  const vouchers = { own: false, isPublic: false, system: false }
  const { level, text } = tlsOutcome(endpoint(), answered({ issuer: `E"vil\n${'x'.repeat(500)}`, vouchers }), nowMs)
  expect(level).toBe('fail')
  expect(text).toMatch(/issued by "E'vil x+\.\.\.", of which no trusted root is known$/)
})

test('calls a certificate for another name something that answers in its place', () => {
  const inspection = answered({ namesHost: false, subject: 'login.hotel.example', issuer: "Let's Encrypt" })
  expect(tlsOutcome(endpoint(), inspection, nowMs)).toMatchObject({
    level: 'fail',
    text: 'something in the network answers in the place of logs.us-west-2.amazonaws.com: its certificate is for "login.hotel.example", issued by "Let\'s Encrypt"',
    hint: expect.stringContaining('captive portal') as unknown,
  })
})

test('says when the clock does not fit the certificate: a warning, but for MQTT, which waits', () => {
  const later = { notBeforeMs: nowMs + 1, notAfterMs: nowMs + 2 }
  expect(tlsOutcome(endpoint(), answered(later), nowMs)).toMatchObject({
    level: 'warn',
    text: expect.stringContaining('the system clock says 2027-01-01T00:00:00.000Z') as unknown,
    hint: expect.stringContaining('set-clock') as unknown,
  })
  expect(tlsOutcome(endpoint(mqtt), answered(later), nowMs).level).toBe('fail')
})

test('fails a chain that TLS refuses for another reason', () => {
  expect(tlsOutcome(endpoint(), answered({ code: 'CA_MD_TOO_WEAK' }), nowMs)).toMatchObject({
    level: 'fail',
    text: expect.stringContaining('CA_MD_TOO_WEAK') as unknown,
  })
})

test('warns of a web page where a service should be', () => {
  expect(tlsOutcome(endpoint(), answered({ http: { status: 200, isHtml: true } }), nowMs)).toMatchObject({
    level: 'warn',
  })
})

test.for([
  ['ECONNREFUSED', /it is refused/, /firewall/],
  ['ETIMEDOUT', /nothing answers/, /firewall/],
  ['ENETUNREACH', /no way to that network/, /ip route/],
  ['EPROTO', /it failed \(EPROTO\)/, /firewall/],
] as const)('names a connection that ends with %s', ([code, text, hint]) => {
  const outcome = tlsOutcome(endpoint(), { kind: 'unreachable', code }, nowMs)
  expect(outcome.level).toBe('fail')
  expect(outcome.text).toMatch(text)
  expect(outcome.hint).toMatch(hint)
})

test('calls what does not speak TLS something that answers in its place', () => {
  const inspection = { kind: 'no-tls', code: 'ERR_SSL_WRONG_VERSION_NUMBER' } as const
  expect(tlsOutcome(endpoint(), inspection, nowMs)).toMatchObject({
    level: 'fail',
    hint: expect.stringContaining('portal') as unknown,
  })
})

test('does not look for TLS where plain HTTP is configured', async () => {
  const [outcome] = await tlsCheck(endpoint({ host: '127.0.0.1', isTls: false }), () =>
    Promise.reject(new Error('looked')),
  ).run(new AbortController().signal)
  expect(outcome?.level).toBe('pass')
})

test('needs the name to be resolved', () => {
  expect(tlsCheck(endpoint(), () => Promise.resolve(answered())).needs).toEqual(['dns.logs'])
})
