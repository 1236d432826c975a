import { createPrivateKey, createPublicKey, generateKeyPair, sign } from 'node:crypto'
import { promisify } from 'node:util'

/** A new private key on the curve P-256, in PEM (PKCS #8). */
export async function makePrivateKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' })
}

/**
 * A certificate signing request in PEM (RFC 2986) for a P-256 key, signed with it by ECDSA with SHA-256. AWS IoT puts its
 * own subject into the certificate; the common name is for who reads the request.
 */
export function makeSigningRequest(privateKeyPem: string, commonName: string): string {
  const key = createPrivateKey(privateKeyPem)
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const name = sequence(der(tags.set, sequence(oid.commonName, der(tags.utf8String, Buffer.from(commonName, 'utf8')))))
  const info = sequence(der(tags.integer, Buffer.from([0])), name, publicKey, der(tags.attributes, Buffer.alloc(0)))
  const signature = sign('sha256', info, { key, dsaEncoding: 'der' })
  const request = sequence(info, sequence(oid.ecdsaWithSha256), der(tags.bitString, Buffer.from([0]), signature))
  const lines = request.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE REQUEST-----', ...lines, '-----END CERTIFICATE REQUEST-----', ''].join('\n')
}

/** ITU-T X.690; the attributes are `[0] IMPLICIT SET OF`. */
const tags = { integer: 0x02, bitString: 0x03, utf8String: 0x0c, sequence: 0x30, set: 0x31, attributes: 0xa0 } as const

const oid = {
  /** 2.5.4.3 */
  commonName: Buffer.from('0603550403', 'hex'),
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex'),
} as const

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(tags.sequence, ...contents)
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  return Buffer.concat([Buffer.from([tag]), lengthOf(content), content])
}

function lengthOf({ length }: Buffer): Buffer {
  if (length < 0x80) return Buffer.from([length])
  return length < 0x100 ? Buffer.from([0x81, length]) : Buffer.from([0x82, length >> 8, length & 0xff])
}
