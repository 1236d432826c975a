import 'reflect-metadata'

import { createPrivateKey, createPublicKey } from 'node:crypto'

import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'

import { makePrivateKey, makeSigningRequest } from '../../../agent/identity/signing-request.ts'

test.each(['panorama-appliance-A1', 'x'.repeat(64), 'y'.repeat(120), 'z'.repeat(200)])(
  'makes a request that others can read and whose signature holds, for %s',
  async (name) => {
    const privateKey = await makePrivateKey()
    const request = new x509.Pkcs10CertificateRequest(makeSigningRequest(privateKey, name))
    expect(request.subject).toBe(`CN=${name}`)
    expect(await request.verify()).toBe(true)
    expect(Buffer.from(request.publicKey.rawData)).toEqual(
      createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    )
  },
)

test('makes a key on P-256 in PKCS #8, another one each time', async () => {
  const [one, other] = [await makePrivateKey(), await makePrivateKey()]
  expect(one).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
  expect(createPrivateKey(one).asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
  expect(other).not.toBe(one)
})
