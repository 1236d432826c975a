import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseIotCredentials } from '../../../agent/aws/iot-credential-answer.ts'
import { CredentialsError } from '../../../agent/aws/iot-credential-errors.ts'

const nowMs = Date.UTC(2027, 0, 1)
const request = { endpoint: 'c1.example.com', roleAlias: 'the-alias', thingName: 'the-thing' }
const known = { request, nowMs, timeIsKnown: true }
const unknown = { ...known, timeIsKnown: false }
const keys = { accessKeyId: 'ASIAVALUE', secretAccessKey: 'SECRETVALUE', sessionToken: 'TOKENVALUE' }

function bodyWith(change: Readonly<Record<string, unknown>>): string {
  const expiration = '2027-01-01T01:00:00Z'
  return JSON.stringify({ credentials: { ...keys, expiration, ...change } })
}

test('reads the keys and the lifetime by cloud time', () => {
  expect(parseIotCredentials(bodyWith({}), known)).toEqual({ ...keys, lifetimeMs: 3_600_000 })
})

test.each(['2027-01-01T01:00:00.000Z', '2027-01-01T02:00:00+01:00'])('reads the expiration %s', (expiration) => {
  expect(parseIotCredentials(bodyWith({ expiration }), known).lifetimeMs).toBe(3_600_000)
})

test('takes the longest lifetime that AWS gives, by a clock that is some minutes behind', () => {
  const expiration = new Date(nowMs + 12 * 3_600_000 + 600_000).toISOString()
  expect(parseIotCredentials(bodyWith({ expiration }), known).lifetimeMs).toBe(12 * 3_600_000 + 600_000)
})

test.each(['2027-01-01T00:00:00Z', '2020-01-01T00:00:00Z', '2027-01-03T00:00:00Z', '2099-01-01T00:00:00Z'])(
  'refuses the expiration %s, and assumes the shortest lifetime while no server has told the time',
  (expiration) => {
    expect(() => parseIotCredentials(bodyWith({ expiration }), known)).toThrow(`their expiration, ${expiration}`)
    expect(parseIotCredentials(bodyWith({ expiration }), unknown).lifetimeMs).toBe(900_000)
  },
)

test('believes an expiration that makes sense while no server has told the time', () => {
  expect(parseIotCredentials(bodyWith({}), unknown).lifetimeMs).toBe(3_600_000)
})

test.each(['accessKeyId', 'secretAccessKey', 'sessionToken', 'expiration'])(
  'names %s when it is missing, empty or no text, and shows no value',
  (field) => {
    for (const value of [undefined, '', 42, null, { inner: 'SECRETVALUE' }]) {
      const parse = () => parseIotCredentials(bodyWith({ [field]: value }), known)
      expect(parse).toThrow(CredentialsError)
      expect(parse).toThrow(`(credentials.${field})`)
      expect(parse).not.toThrow(/ASIAVALUE|SECRETVALUE|TOKENVALUE/)
    }
  },
)

test.each(['', 'null', '[]', '<html>TOKENVALUE</html>', '{"Credentials":{}}', '{"credentials":null}'])(
  'calls %j a bad answer, which is worth another try',
  (body) => {
    try {
      parseIotCredentials(body, known)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ failure: 'bad-answer', status: 200, retryable: true })
      expect(String(error)).not.toContain('TOKENVALUE')
    }
  },
)

test('answers any body with credentials that live, or with a CredentialsError', () => {
  const bodies = fc.oneof(
    fc.string(),
    fc.json(),
    fc.string().map((expiration) => bodyWith({ expiration })),
    fc.date({ noInvalidDate: true }).map((date) => bodyWith({ expiration: date })),
  )
  fc.assert(
    fc.property(bodies, fc.boolean(), (body, timeIsKnown) => {
      try {
        expect(parseIotCredentials(body, { ...known, timeIsKnown }).lifetimeMs).toBeGreaterThan(0)
      } catch (error) {
        expect(error).toBeInstanceOf(CredentialsError)
      }
    }),
  )
})
