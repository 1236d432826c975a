import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { chmod, lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { writeFileAtomic } from '../lib/atomic-file.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import type { SealingStatus } from './last-known-good.ts'

export interface KeySources {
  /** `$CREDENTIALS_DIRECTORY`, see systemd.exec(5); undefined where systemd passes none. */
  readonly credentialsFolder?: string | undefined
  /** `<state>/identity` */
  readonly identityFolder: string
}

/** A key as copies are sealed with it. */
export interface SealingKey {
  /** Tells keys apart and says nothing about them. */
  readonly id: string
  /** 32 bytes for AES-256. */
  readonly key: Buffer
}

export interface SealingKeys {
  readonly source: SealingStatus['key']
  /** What to seal with; undefined where the source is `none`. */
  readonly current: SealingKey | undefined
  /** What copies may have been sealed with, the current key included. */
  readonly known: readonly SealingKey[]
  readonly fault: AgentError | undefined
}

export const credentialName = 'panorama-agent.sealing-key'

/** What systemd/unseal-key leaves in the place of a key that it cannot unseal. */
const sealedMark = 'cannot be unsealed'
const keyBytes = 32
const fileName = 'sealing-key'

/**
 * Gets the key that camera copies are sealed with: systemd's credential where there is one, else a file of the agent's
 * own, which is made when it is not there. Where the credential is there, the file opens what was sealed before. What
 * cannot be read or is no key is never replaced, and a bad credential never by the file, which keeps less than was asked
 * for: both are a fault, and the source is `none`. Never throws.
 */
export async function loadSealingKeys({ credentialsFolder, identityFolder }: KeySources): Promise<SealingKeys> {
  const path = join(identityFolder, fileName)
  try {
    const credential = credentialsFolder === undefined ? undefined : await readCredential(credentialsFolder)
    if (credential === undefined) return keysOf('file', (await readKeyFile(path)) ?? (await makeKeyFile(path)))
    const file = await readKeyFile(path).catch(() => undefined) // a copy that it alone would open is a fault by itself
    return keysOf('systemd-credential', credential, file)
  } catch (error) {
    const fault = error instanceof AgentError ? error : new AgentError('there is no sealing key', { cause: error })
    const file = await readKeyFile(path).catch(() => undefined)
    return { source: 'none', current: undefined, known: file === undefined ? [] : [file], fault }
  }
}

/** 32 bytes, raw or as text in hex or base64, see systemd-creds(1) for what operators have at hand; else undefined. */
export function parseSealingKey(content: Buffer): SealingKey | undefined {
  if (content.length === keyBytes) return sealingKey(content)
  const text = content.toString('latin1').trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return sealingKey(Buffer.from(text, 'hex'))
  if (/^[\w+/-]{43}=?$/.test(text)) return sealingKey(Buffer.from(text, 'base64'))
  return undefined
}

/** The same secret may serve elsewhere, so neither key nor id is the secret itself (HKDF, RFC 5869). */
function sealingKey(secret: Buffer): SealingKey {
  const derive = (info: string): Buffer => Buffer.from(hkdfSync('sha256', secret, '', info, keyBytes))
  const id = createHash('sha256').update(derive('panorama-agent camera copies: key id')).digest('hex').slice(0, 16)
  return { id, key: derive('panorama-agent camera copies: AES-256-GCM') }
}

function keysOf(source: 'systemd-credential' | 'file', current: SealingKey, other?: SealingKey): SealingKeys {
  return { source, current, known: other === undefined ? [current] : [current, other], fault: undefined }
}

async function readCredential(folder: string): Promise<SealingKey | undefined> {
  const content = await readFile(join(folder, credentialName)).catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return undefined
    throw new AgentError(`the systemd credential ${credentialName} cannot be read`, { retryable: true, cause })
  })
  if (content === undefined) return undefined
  const key = parseSealingKey(content)
  if (key !== undefined) return key
  if (content.toString('latin1').trim() === sealedMark) {
    throw new AgentError(`the systemd credential ${credentialName} cannot be unsealed on this machine`, {
      hint: 'journalctl -u panorama-agent-unseal says why; make it anew, as the man page says, or remove it',
    })
  }
  throw new AgentError(`the systemd credential ${credentialName} is no key: ${content.length} bytes`, {
    hint:
      'seal 32 random bytes: head -c 32 /dev/urandom | systemd-creds encrypt --name=panorama-agent.sealing-key - ' +
      '/etc/credstore.encrypted/panorama-agent.sealing-key; then systemctl restart panorama-agent',
  })
}

/** Undefined when there is none. A link that leads nowhere is one that cannot be read: its disk may come back. */
async function readKeyFile(path: string): Promise<SealingKey | undefined> {
  const found = await lstat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw unreadable(path, error)
  })
  if (found === undefined) return undefined
  if (!found.isFile() && !found.isSymbolicLink()) throw noKey(path, 'it is no file')
  const content = await readFile(path).catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  const key = parseSealingKey(content)
  if (key === undefined) throw noKey(path, `${content.length} bytes`)
  if (found.isFile() && (found.mode & 0o077) !== 0) await chmod(path, 0o600).catch(() => undefined)
  return key
}

async function makeKeyFile(path: string): Promise<SealingKey> {
  const secret = randomBytes(keyBytes)
  await writeFileAtomic(path, secret, { mode: 0o600 })
  return sealingKey(secret)
}

function unreadable(path: string, cause: unknown): AgentError {
  return new AgentError(`the sealing key ${path} cannot be read`, {
    retryable: true,
    hint: 'let the user that the agent runs as read it (mode 0600); until then no copies of camera credentials are kept',
    cause,
  })
}

function noKey(path: string, what: string): AgentError {
  return new AgentError(`the sealing key ${path} is no key of 32 bytes: ${what}`, {
    hint: 'put it back from a backup, or remove it to have a new one made: copies are then sealed anew',
  })
}
