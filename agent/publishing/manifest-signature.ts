import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { base64url, CompactSign } from 'jose'

import { keyId, signatureAlgorithm, type TrustedKey } from '../artifacts/release/release-signature.ts'
import { AgentError, errorCode } from '../lib/errors.ts'

/** What a publisher signs with. */
export interface PublisherKey {
  readonly privateKey: KeyObject
  /** Its public half, as appliances have it. */
  readonly trusted: TrustedKey
}

/**
 * Reads a private key in PEM that is not encrypted. Throws an AgentError that never holds any of it, and says how to make one
 * by the name that the README has for such a key.
 */
export async function readPublisherKey(file: string, usualName = 'publisher.pem'): Promise<PublisherKey> {
  const howToMake = `make one: openssl genpkey -algorithm ed25519 -out ${usualName} (kept secret, mode 0600)`
  const pem = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new AgentError(`the key ${file} cannot be read (${errorCode(error) ?? 'unknown error'})`, { hint: howToMake })
  })
  const privateKey = privateKeyOf(pem, { file, howToMake })
  const algorithm = signatureAlgorithm(privateKey)
  if (algorithm === undefined) {
    throw new AgentError(`${file} is neither a P-256 nor an Ed25519 key`, { hint: howToMake })
  }
  const key = createPublicKey(privateKey)
  return { privateKey, trusted: { id: await keyId(key), algorithm, key } }
}

/** A compact JWS (RFC 7515) of the payload; without a key one that says that nobody signed it (`alg` is `none`). */
export async function signManifest(payload: Uint8Array, key: PublisherKey | undefined): Promise<string> {
  if (key === undefined) return `${base64url.encode(JSON.stringify({ alg: 'none' }))}.${base64url.encode(payload)}.`
  const { algorithm, id } = key.trusted
  return await new CompactSign(payload).setProtectedHeader({ alg: algorithm, kid: id }).sign(key.privateKey)
}

function privateKeyOf(
  pem: string,
  { file, howToMake }: { readonly file: string; readonly howToMake: string },
): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // the cause could quote the key
    throw new AgentError(`${file} is no private key in PEM without a passphrase`, { hint: howToMake })
  }
}
