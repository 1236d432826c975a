import 'reflect-metadata'

import { createPublicKey, type KeyObject } from 'node:crypto'

import * as x509 from '@peculiar/x509'
import { z } from 'zod'

import { ProvisioningRejection } from './provisioning-rejection.ts'

const curves = ['prime256v1', 'secp384r1', 'secp521r1'] // P-256, P-384 and P-521 to OpenSSL
const minRsaBits = 2048
const weakAlgorithm = z.object({ hash: z.object({ name: z.literal('SHA-1') }) })

/**
 * The key of a signing request whose signature holds. Throws a ProvisioningRejection for what CreateCertificateFromCsr
 * does not take: other keys than RSA from 2,048 bits and the NIST curves ("CreateCertificateFromCsr", AWS IoT API
 * reference), and signatures by SHA-1.
 */
export async function keyOfSigningRequest(pem: string): Promise<x509.PublicKey> {
  const request = read(pem)
  const { publicKey } = request
  if (!isAccepted(createPublicKey({ key: Buffer.from(publicKey.rawData), format: 'der', type: 'spki' })))
    throw invalidCsr('the key is neither RSA of 2,048 bits nor on a NIST curve')
  const algorithm: unknown = request.signatureAlgorithm
  if (weakAlgorithm.safeParse(algorithm).success) throw invalidCsr('the request is signed by way of SHA-1')
  const holds = await request.verify().catch(() => false)
  if (!holds) throw invalidCsr('the signature does not hold')
  return publicKey
}

function read(pem: string): x509.Pkcs10CertificateRequest {
  if (!/^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s/.test(pem)) throw invalidCsr('it is not in PEM')
  try {
    return new x509.Pkcs10CertificateRequest(pem)
  } catch {
    throw invalidCsr('it cannot be read')
  }
}

function isAccepted({ asymmetricKeyType, asymmetricKeyDetails = {} }: KeyObject): boolean {
  const { namedCurve = '', modulusLength = 0 } = asymmetricKeyDetails
  if (asymmetricKeyType === 'ec') return curves.includes(namedCurve)
  return asymmetricKeyType === 'rsa' && modulusLength >= minRsaBits
}

function invalidCsr(what: string): ProvisioningRejection {
  return new ProvisioningRejection(400, 'InvalidCsr', `The certificate signing request is not valid: ${what}`)
}
