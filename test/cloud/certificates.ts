import 'reflect-metadata'

import { randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'

import * as x509 from '@peculiar/x509'

/** A certificate authority made at run time. */
export interface Authority {
  readonly certificate: x509.X509Certificate
  readonly keys: webcrypto.CryptoKeyPair
}

export interface KeyAndCertificate {
  /** The certificate, followed by the intermediate where there is one. */
  readonly certificatePem: string
  /** PKCS#8. */
  readonly privateKeyPem: string
}

/** A key as WebCrypto or as a signing request has it. */
type PublicKey = webcrypto.CryptoKey | x509.PublicKey

interface Issuer {
  readonly subject: string
  readonly keys: webcrypto.CryptoKeyPair
}

interface Issue {
  readonly subject: string
  readonly publicKey: PublicKey
  readonly issuer: Issuer
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly extensions: readonly x509.Extension[]
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const dayMs = 86_400_000
const yearMs = 365 * dayMs
const serverAuth = '1.3.6.1.5.5.7.3.1'
const clientAuth = '1.3.6.1.5.5.7.3.2'
const deviceNotAfterMs = Date.UTC(2049, 11, 31, 23, 59, 59)

/** A root that is good for decades around `nowMs`, as Amazon's are. */
export async function createRoot(subject: string, nowMs: number): Promise<Authority> {
  const keys = await createKeys()
  const certificate = await issue({
    subject,
    publicKey: keys.publicKey,
    issuer: { subject, keys },
    notBeforeMs: nowMs - 11 * yearMs,
    notAfterMs: nowMs + 12 * yearMs,
    extensions: authorityExtensions(undefined),
  })
  return { certificate, keys }
}

/**
 * Issues a server certificate with the dates that Amazon's have (195 days, five of them gone) below an intermediate of
 * its own; the chain that a server sends is both, without the root.
 */
export async function issueServerChain(
  root: Authority,
  { names, nowMs }: { readonly names: readonly string[]; readonly nowMs: number },
): Promise<KeyAndCertificate> {
  const intermediate = await issueIntermediate(root, nowMs)
  const keys = await createKeys()
  const leaf = await issue({
    subject: `CN=${names[0] ?? 'localhost'}`,
    publicKey: keys.publicKey,
    issuer: issuerOf(intermediate),
    notBeforeMs: nowMs - 5 * dayMs,
    notAfterMs: nowMs + 190 * dayMs,
    extensions: leafExtensions(serverAuth, names),
  })
  return {
    certificatePem: `${leaf.toString('pem')}\n${intermediate.certificate.toString('pem')}\n`,
    privateKeyPem: await exportKey(keys),
  }
}

/** Issues what CreateKeysAndCertificate gives: every device has the same subject, so only the bytes tell them apart. */
export async function issueDeviceCertificate(authority: Authority, nowMs: number): Promise<KeyAndCertificate> {
  const keys = await createKeys()
  const certificatePem = await certifyDeviceKey(authority, { publicKey: keys.publicKey, nowMs })
  return { certificatePem, privateKeyPem: await exportKey(keys) }
}

/** Issues what CreateCertificateFromCsr gives: of the request only the key counts. */
export async function certifyDeviceKey(
  authority: Authority,
  { publicKey, nowMs }: { readonly publicKey: PublicKey; readonly nowMs: number },
): Promise<string> {
  const certificate = await issue({
    subject: 'CN=AWS IoT Certificate',
    publicKey,
    issuer: issuerOf(authority),
    notBeforeMs: nowMs - 120_000,
    notAfterMs: deviceNotAfterMs,
    extensions: leafExtensions(clientAuth, []),
  })
  return `${certificate.toString('pem')}\n`
}

async function issueIntermediate(root: Authority, nowMs: number): Promise<Authority> {
  const keys = await createKeys()
  const certificate = await issue({
    subject: 'CN=Local Cloud Intermediate, O=Local Cloud, C=US',
    publicKey: keys.publicKey,
    issuer: issuerOf(root),
    notBeforeMs: nowMs - 3 * yearMs,
    notAfterMs: nowMs + 5 * yearMs,
    extensions: authorityExtensions(0),
  })
  return { certificate, keys }
}

function issuerOf({ certificate, keys }: Authority): Issuer {
  return { subject: certificate.subject, keys }
}

async function issue({
  subject,
  publicKey,
  issuer,
  notBeforeMs,
  notAfterMs,
  extensions,
}: Issue): Promise<x509.X509Certificate> {
  return x509.X509CertificateGenerator.create({
    serialNumber: randomBytes(16).toString('hex').replace(/^./, '1'),
    subject,
    issuer: issuer.subject,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
    ],
  })
}

function authorityExtensions(pathLength: number | undefined): readonly x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ]
}

function leafExtensions(usage: string, names: readonly string[]): readonly x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([usage]),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names.map(generalName))]),
  ]
}

function generalName(name: string): x509.JsonGeneralName {
  return { type: isIP(name) === 0 ? 'dns' : 'ip', value: name }
}

async function createKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function exportKey({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey)
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`
}
