import 'reflect-metadata'

import { randomBytes, webcrypto } from 'node:crypto'

import * as x509 from '@peculiar/x509'

/** A certificate made at run time, with the key that belongs to it. */
export interface TestCertificate {
  readonly pem: string
  readonly der: Uint8Array
  /** PKCS #8 in PEM. */
  readonly privateKey: string
  readonly parsed: x509.X509Certificate
  readonly keys: webcrypto.CryptoKeyPair
}

export interface CertificateOptions {
  readonly commonName: string
  /** Signs itself when there is none. */
  readonly issuer?: TestCertificate
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly extensions?: readonly x509.Extension[]
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const dayMs = 86_400_000

export async function makeCertificate(options: CertificateOptions): Promise<TestCertificate> {
  const { commonName, issuer, extensions = [] } = options
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const parsed = await x509.X509CertificateGenerator.create({
    serialNumber: `01${randomBytes(8).toString('hex')}`,
    subject: `CN=${commonName}`,
    issuer: issuer?.parsed.subject ?? `CN=${commonName}`,
    notBefore: options.notBefore ?? new Date(Date.now() - dayMs),
    notAfter: options.notAfter ?? new Date(Date.now() + 365 * dayMs),
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [...extensions],
  })
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  const privateKey = x509.PemConverter.encode(key, 'PRIVATE KEY')
  return { pem: parsed.toString('pem'), der: new Uint8Array(parsed.rawData), privateKey, parsed, keys }
}

/** A certificate for a signing request in PEM, whose signature is checked. */
export async function certificateFor(
  request: string,
  issuer: TestCertificate,
): Promise<Pick<TestCertificate, 'pem' | 'der'>> {
  const parsed = new x509.Pkcs10CertificateRequest(request)
  if (!(await parsed.verify())) throw new Error('the signature of the request does not hold')
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `01${randomBytes(8).toString('hex')}`,
    subject: parsed.subject,
    issuer: issuer.parsed.subject,
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + 365 * dayMs),
    publicKey: await parsed.publicKey.export(),
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: algorithm,
  })
  return { pem: certificate.toString('pem'), der: new Uint8Array(certificate.rawData) }
}

/** What makes a certificate an authority: the CA flag, a path length if one is given, and leave to sign others. */
export function authorityExtensions(pathLength?: number): readonly x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ]
}

/** What a server's certificate has: no CA flag, its names, and server authentication as purpose. */
export function serverExtensions(...hosts: readonly string[]): readonly x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    hostNames(...hosts),
  ]
}

export function hostNames(...hosts: readonly string[]): x509.Extension {
  return new x509.SubjectAlternativeNameExtension(hosts.map((value) => ({ type: 'dns', value })))
}
