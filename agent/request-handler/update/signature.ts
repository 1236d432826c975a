import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

import { isTrustedFolder, readTrustedText, type Owner } from '../trusted-list.ts'

export type KeyFault = 'no-update-key' | 'key-not-trusted'

const maxKeyBytes = 8_192
const maxKeys = 32
const publicPem = /^\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*$/

/**
 * The keys of `update-keys/*.pem`: public ones, Ed25519 or ECDSA over P-256, one a file. Believed only where the folder and
 * each file belong to `owner` and nobody else may write them. What is no such key is told and left out.
 */
export function readUpdateKeys(
  configFolder: string,
  owner: Owner,
  print: (line: string) => void,
): readonly KeyObject[] | KeyFault {
  const folder = join(configFolder, 'update-keys')
  const names = namesIn(folder).filter((name) => /^[A-Za-z0-9._-]{1,128}\.pem$/.test(name))
  if (names.length === 0) return 'no-update-key'
  if (!isTrustedFolder(configFolder, owner) || !isTrustedFolder(folder, owner)) return 'key-not-trusted'
  const keys: KeyObject[] = []
  for (const name of names.slice(0, maxKeys)) {
    const text = readTrustedText(join(folder, name), owner, maxKeyBytes)
    if (text === undefined) return 'key-not-trusted'
    const key = parseKey(text)
    if (key === undefined) print(`update-keys/${name} is no public key of Ed25519 or P-256 in PEM`)
    else keys.push(key)
  }
  return keys.length === 0 ? 'no-update-key' : keys
}

/**
 * Whether one of the keys made the signature of these bytes: Ed25519 as 64 bytes (RFC 8032), ECDSA over SHA-256 in DER, as
 * openssl writes them. Never throws, whatever the signature is.
 */
export function isSignedBy(keys: readonly KeyObject[], bytes: Uint8Array, signature: Uint8Array): boolean {
  return keys.some((key) => {
    try {
      return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, key, signature)
    } catch {
      return false
    }
  })
}

function parseKey(text: string): KeyObject | undefined {
  if (!publicPem.test(text)) return undefined
  try {
    const key = createPublicKey(text)
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
    return type === 'ed25519' || (type === 'ec' && details?.namedCurve === 'prime256v1') ? key : undefined
  } catch {
    return undefined
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
