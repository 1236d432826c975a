import { X509Certificate } from 'node:crypto'

import { expect, test } from 'vitest'

import { datesOutcome, identityCheck, rootsOutcome, type IdentityDeps } from '../../../agent/doctor/identity-check.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { makeCertificate } from '../../support/certificates.ts'

const never = new AbortController().signal
const dayMs = 86_400_000

async function depsOf(more: Partial<IdentityDeps> = {}): Promise<IdentityDeps> {
  const { pem } = await makeCertificate({ commonName: 'dock-1' })
  return {
    load: () => Promise.resolve({ certificate: pem, roots: pem, origin: 'seed' }),
    files: () => Promise.resolve([]),
    nowMs: () => Date.now(),
    ...more,
  }
}

async function rootNamed(...names: readonly string[]): Promise<string> {
  return (await Promise.all(names.map((commonName) => makeCertificate({ commonName }))))
    .map(({ pem }) => pem)
    .join('\n')
}

test('names the kind of key and whose the certificate is', async () => {
  expect(await identityCheck(await depsOf()).run(never)).toEqual([
    {
      level: 'pass',
      text: 'they belong together, key EC prime256v1, as configured, certificate of "dock-1"',
    },
  ])
})

test('fails with what keeps the identity from being read', async () => {
  const load = (): Promise<never> =>
    Promise.reject(new AgentError('/x is not there', { hint: 'provision the appliance' }))
  expect(await identityCheck(await depsOf({ load })).run(never)).toEqual([
    { level: 'fail', text: '/x is not there', hint: 'provision the appliance' },
  ])
})

test('fails where root may read the key and the agent may not', async () => {
  const denied = [{ path: '/x.key', user: 'panorama-agent', need: 'read' as const, access: 'denied' as const }]
  expect(await identityCheck(await depsOf({ files: () => Promise.resolve(denied) })).run(never)).toMatchObject([
    {
      level: 'fail',
      text: '/x.key cannot be read by panorama-agent, which the agent runs as',
      hint: expect.stringContaining('chown') as unknown,
    },
  ])
})

test('warns of a certificate that ends within 30 days, and fails one that has ended or has not begun', async () => {
  const { pem } = await makeCertificate({ commonName: 'dock-1', notAfter: new Date(Date.now() + 10 * dayMs) })
  const parsed = new X509Certificate(pem)
  const at = (days: number) => datesOutcome(parsed, Date.now() + days * dayMs)
  expect(at(0)).toMatchObject({
    level: 'warn',
    text: expect.stringMatching(/in 9 days$/) as unknown,
    hint: expect.stringContaining('rotate') as unknown,
  })
  expect(at(11)).toMatchObject({ level: 'fail', text: expect.stringContaining('has expired') as unknown })
  expect(at(-5)).toMatchObject({ level: 'fail', text: expect.stringContaining('is not valid before') as unknown })
  const { pem: long } = await makeCertificate({ commonName: 'dock-1' })
  expect(datesOutcome(new X509Certificate(long), Date.now()).level).toBe('pass')
})

test("warns where some of Amazon's roots are there and others not, and leaves an operator's own in peace", async () => {
  expect(rootsOutcome(await rootNamed('Amazon Root CA 1'))).toMatchObject({
    level: 'warn',
    text: expect.stringContaining('Amazon Root CA 2, Amazon Root CA 3, Amazon Root CA 4 are missing') as unknown,
    hint: expect.stringContaining('amazontrust.com') as unknown,
  })
  expect(
    rootsOutcome(await rootNamed('Amazon Root CA 1', 'Amazon Root CA 2', 'Amazon Root CA 3', 'Amazon Root CA 4')).level,
  ).toBe('pass')
  expect(rootsOutcome(await rootNamed('Factory Root'))).toEqual({
    level: 'pass',
    text: 'identity.rootCa holds one root: Factory Root',
  })
})
