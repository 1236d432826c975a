import { describe, expect, it } from 'vitest'

import { keyOfSigningRequest } from '../../../../cloud/iot/provisioning/signing-request.ts'
import { makeSigningRequest } from '../../../../support/signing-request.ts'

const rsa = { name: 'RSASSA-PKCS1-v1_5', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 }

describe('the check of a signing request', () => {
  it.each(['P-256', 'P-384', 'P-521'])('takes a key on %s', async (namedCurve) => {
    const { pem } = await makeSigningRequest({ name: 'ECDSA', namedCurve })

    expect((await keyOfSigningRequest(pem)).rawData.byteLength).toBeGreaterThan(0)
  })

  it('takes RSA of 2,048 bits', async () => {
    const { pem } = await makeSigningRequest({ ...rsa, hash: 'SHA-256' })

    expect((await keyOfSigningRequest(pem)).rawData.byteLength).toBeGreaterThan(256)
  })

  it.each<[string, () => Promise<string>, RegExp]>([
    [
      'a key of 1,024 bits',
      async () => (await makeSigningRequest({ ...rsa, modulusLength: 1024, hash: 'SHA-256' })).pem,
      /the key is neither/,
    ],
    [
      'a key on another curve',
      async () => (await makeSigningRequest({ name: 'Ed25519', namedCurve: '' })).pem,
      /the key is neither/,
    ],
    ['a signature by way of SHA-1', async () => (await makeSigningRequest({ ...rsa, hash: 'SHA-1' })).pem, /SHA-1/],
    [
      'a signature that does not hold',
      async () => withBadSignature((await makeSigningRequest()).pem),
      /the signature does not hold/,
    ],
    ['no PEM', () => Promise.resolve('MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A'), /not in PEM/],
    ['PEM of something else', () => Promise.resolve(pemOf('CERTIFICATE', 'AAAA')), /not in PEM/],
    ['PEM of nonsense', () => Promise.resolve(pemOf('CERTIFICATE REQUEST', 'AAAA')), /cannot be read/],
  ])('refuses %s', async (_what, make, message) => {
    await expect(keyOfSigningRequest(await make())).rejects.toMatchObject({
      statusCode: 400,
      errorCode: 'InvalidCsr',
      message: expect.stringMatching(message) as unknown,
    })
  })
})

function pemOf(label: string, base64: string): string {
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`
}

/** The last byte belongs to the signature. */
function withBadSignature(pem: string): string {
  const bytes = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  return pemOf('CERTIFICATE REQUEST', bytes.toString('base64'))
}
