import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { base64url, calculateJwkThumbprint, compactVerify, decodeProtectedHeader, errors, exportJWK } from 'jose'

import { AgentError, errorCode } from '../../lib/errors.ts'
import { RefusedManifestError } from './release-manifest.ts'

type SignatureAlgorithm = 'ES256' | 'EdDSA'

/** A public key that manifests may be signed with. */
export interface TrustedKey {
  /** Its JWK thumbprint (RFC 7638, SHA-256): what the `kid` of a signature names. */
  readonly id: string
  readonly algorithm: SignatureAlgorithm
  readonly key: KeyObject
}

const algorithms: readonly SignatureAlgorithm[] = ['ES256', 'EdDSA']
const maxKeyFileBytes = 4096

/**
 * Reads the keys of a configuration: each a public key in PEM, or the absolute path of a file with one. Throws an
 * AgentError that names the one at fault.
 */
export async function readTrustedKeys(entries: readonly string[]): Promise<readonly TrustedKey[]> {
  return await Promise.all(
    entries.map(async (entry, index) => {
      if (!entry.startsWith('/')) return await trustedKey(entry, `trustedKeys[${index}]`)
      return await trustedKey(await readKeyFile(entry), entry)
    }),
  )
}

/** The key of a public key in PEM; `what` names it in the AgentError. */
export async function trustedKey(pem: string, what: string): Promise<TrustedKey> {
  const key = publicKeyOf(pem, what)
  const algorithm = signatureAlgorithm(key)
  if (algorithm === undefined) {
    throw new AgentError(`${what} is no key of the kinds that sign manifests`, { hint: 'use a P-256 or Ed25519 key' })
  }
  return { id: await keyId(key), algorithm, key }
}

/** What a key signs with; undefined for one that signs no manifests. */
export function signatureAlgorithm(key: KeyObject): SignatureAlgorithm | undefined {
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? 'ES256' : undefined
}

/** The `kid` of a public key. */
export async function keyId(key: KeyObject): Promise<string> {
  return await calculateJwkThumbprint(await exportJWK(key), 'sha256')
}

/**
 * The payload of a compact JWS that one of `keys` signed. Throws a RefusedManifestError for everything else: no
 * signature, another algorithm than the key's, a key that is not trusted, bytes that were changed.
 */
export async function verifiedPayload(jws: string, keys: readonly TrustedKey[]): Promise<Uint8Array> {
  try {
    const { payload } = await compactVerify(jws, ({ kid, alg }) => keyFor(keys, { kid, alg }), {
      algorithms: [...algorithms],
    })
    return payload
  } catch (error) {
    if (error instanceof AgentError) throw error
    throw refusalOf(error, jws)
  }
}

/** The payload of a compact JWS whoever signed it, if anybody did. Throws a RefusedManifestError for what is none. */
export function unverifiedPayload(jws: string): Uint8Array {
  const [, payload, signature] = jws.split('.', 4)
  try {
    decodeProtectedHeader(jws)
    if (payload === undefined || signature === undefined) throw new Error('it has not three parts')
    return base64url.decode(payload)
  } catch (error) {
    throw new RefusedManifestError(`it is no compact JWS: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function keyFor(
  keys: readonly TrustedKey[],
  { kid, alg }: { readonly kid: string | undefined; readonly alg: string },
): KeyObject {
  if (kid === undefined) throw unsigned('its signature does not say by which key (kid)')
  const trusted = keys.find(({ id }) => id === kid)
  if (trusted === undefined) {
    throw unsigned(
      `it is signed with the key ${JSON.stringify(kid.slice(0, 64))}, and trusted are ${keys.map(({ id }) => id).join(', ')}`,
    )
  }
  if (trusted.algorithm !== alg)
    throw unsigned(`its signature says ${alg}, and the key is one for ${trusted.algorithm}`)
  return trusted.key
}

function refusalOf(error: unknown, jws: string): AgentError {
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return unsigned('its signature is wrong: it was changed after it was signed')
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    const { alg } = decodeProtectedHeader(jws)
    return alg === 'none' ? unsigned('it is not signed') : unsigned(`it is signed by ${String(alg).slice(0, 20)}`)
  }
  return new RefusedManifestError(`it is no compact JWS: ${error instanceof Error ? error.message : String(error)}`)
}

function unsigned(why: string): RefusedManifestError {
  return new RefusedManifestError(why, 'publish with --key and a key whose public half is in trustedKeys')
}

async function readKeyFile(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new AgentError(`the trusted key ${path} cannot be read (${errorCode(error) ?? 'unknown error'})`, {
      hint: 'put the public key there, readable by the agent, or take it out of trustedKeys',
    })
  })
  if (text.length <= maxKeyFileBytes) return text
  throw new AgentError(`the trusted key ${path} has more than ${maxKeyFileBytes} bytes`)
}

function publicKeyOf(pem: string, what: string): KeyObject {
  if (pem.includes('PRIVATE KEY')) {
    throw new AgentError(`${what} is a private key`, {
      hint: 'take it away from there, and put its public half: openssl pkey -in KEY -pubout',
    })
  }
  try {
    return createPublicKey(pem)
  } catch {
    throw new AgentError(`${what} is no public key in PEM`, { hint: 'make it with: openssl pkey -in KEY -pubout' })
  }
}
