import { beforeAll, expect, test } from 'vitest'

import { datesWarning } from '../../../agent/commands/certificate-dates.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'

const year = (number: number): number => Date.UTC(number, 0, 1)
const made: string[] = []

beforeAll(async () => {
  const dates = { notBefore: new Date(year(2030)), notAfter: new Date(year(2031)) }
  made.push((await makeCertificate({ commonName: 'one', extensions: authorityExtensions(), ...dates })).pem)
})

const at = (nowMs: number, isRight: boolean, notBeforeMs = 0): string | undefined =>
  datesWarning(made[0] ?? '', { nowMs, isRight, notBeforeMs })

test('refuses by a clock that is kept right, with the dates', () => {
  expect(() => at(year(2032), true)).toThrow('the certificate expired at 2031-01-01T00:00:00.000Z')
  expect(() => at(year(2029), true)).toThrow('the certificate is not valid before 2030-01-01T00:00:00.000Z')
  expect(at(year(2030) + 1, true)).toBeUndefined()
})

test('only warns by a clock that nothing keeps right', () => {
  expect(at(year(2032), false)).toMatch(/which nothing keeps right, the certificate expired at 2031-01-01/)
  expect(at(year(2020), false)).toMatch(/not valid before 2030-01-01/)
})

test('refuses whatever the clock says what expired before a time that is past for certain', () => {
  expect(() => at(year(2030) + 1, false, year(2032))).toThrow('the certificate expired at 2031-01-01T00:00:00.000Z')
})
