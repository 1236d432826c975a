import 'reflect-metadata'

import { webcrypto } from 'node:crypto'

import * as x509 from '@peculiar/x509'

/** A signing request (PKCS #10) made at run time, with the key that it is about. */
export interface TestSigningRequest {
  readonly pem: string
  /** PKCS #8 in PEM. */
  readonly privateKeyPem: string
}

const byDefault = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** Makes a key by the algorithm, P-256 unless told otherwise, and asks for a certificate for it. */
export async function makeSigningRequest(
  algorithm: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams = byDefault,
): Promise<TestSigningRequest> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=appliance',
    keys,
    signingAlgorithm: { hash: 'SHA-256', ...algorithm },
  })
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return { pem: `${request.toString('pem')}\n`, privateKeyPem: `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n` }
}
