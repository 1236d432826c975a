import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'

import { base64url, calculateJwkThumbprint, CompactSign, exportJWK } from 'jose'

export interface SigningKey {
  readonly alg: 'ES256' | 'EdDSA'
  readonly privateKey: KeyObject
  readonly privatePem: string
  readonly publicPem: string
  readonly kid: string
}

export async function signingKey(alg: SigningKey['alg'] = 'ES256'): Promise<SigningKey> {
  const { privateKey, publicKey } =
    alg === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    alg,
    privateKey,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
    kid: await calculateJwkThumbprint(await exportJWK(publicKey)),
  }
}

/** The entry of a file whose object is named by its content. */
export function manifestFile(path: string, content: string): Readonly<Record<string, unknown>> {
  const sha256 = createHash('sha256').update(content).digest('hex')
  return { path, key: `objects/${sha256}`, size: Buffer.byteLength(content), sha256 }
}

/** A manifest for `app` with one file, where nothing else is said. */
export function manifestPayload(fields: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    schema: 1,
    name: 'app',
    sequence: 1,
    version: 'v1',
    createdAt: '2026-11-24T03:00:00.000Z',
    files: [manifestFile('model.bin', 'weights')],
    ...fields,
  })
}

/** Signs a payload as a publisher does; `header` replaces fields of the protected header. */
export async function signed(
  payload: string,
  { alg, kid, privateKey }: SigningKey,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return await new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
}

/** The same without a signature. */
export function unsigned(payload: string): string {
  return `${base64url.encode(JSON.stringify({ alg: 'none' }))}.${base64url.encode(payload)}.`
}
