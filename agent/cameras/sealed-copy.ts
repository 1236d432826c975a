import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

import * as z from 'zod'

import { parseCameraFile, type CameraFile } from './camera-file.ts'
import type { SealingKey } from './sealing-key.ts'

/** Whose copy it is: it opens for nobody else. */
export interface CopyOwner {
  readonly thingName: string
  readonly camera: string
}

export type OpenedCopy =
  | { readonly file: CameraFile; readonly keyId: string }
  /** What is wrong with it, as the end of a sentence about the copy. */
  | { readonly fault: string }

const version = 1
const nonceBytes = 12
const tagBytes = 16
/** So that the size of a copy does not tell how long a password is. */
const blockBytes = 512

const header = z.object({ version: z.int() })
const base64 = z.base64()
const envelope = z.object({
  version: z.literal(version),
  thingName: z.string(),
  camera: z.string(),
  keyId: z.string(),
  nonce: base64,
  ciphertext: base64,
  tag: base64,
})

/**
 * Seals a camera's file with AES-256-GCM (NIST SP 800-38D) under a nonce that is random and used once. Version, key,
 * thing and camera are authenticated with it.
 */
export function sealCopy(file: CameraFile, owner: CopyOwner, { id, key }: SealingKey): string {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(boundTo(owner, id))
  const ciphertext = Buffer.concat([cipher.update(padded(JSON.stringify(file))), cipher.final()])
  const sealed: z.infer<typeof envelope> = {
    version,
    ...owner,
    keyId: id,
    nonce: nonce.toString('base64'),
    ciphertext: ciphertext.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
  }
  return `${JSON.stringify(sealed)}\n`
}

/** Opens what `sealCopy` made, for the same owner and with the same key. Never throws, whatever the text is. */
export function openCopy(text: string, owner: CopyOwner, keys: readonly SealingKey[]): OpenedCopy {
  const json = parseJson(text)
  const { success, data: found } = envelope.safeParse(json)
  if (!success) return { fault: isNewer(json) ? 'is of a newer version of the agent' : 'is damaged' }
  if (found.thingName !== owner.thingName) return { fault: `belongs to another thing, ${shown(found.thingName)}` }
  if (found.camera !== owner.camera) return { fault: `belongs to another camera, ${shown(found.camera)}` }
  const sealedWith = keys.find(({ id }) => id === found.keyId)
  if (sealedWith === undefined) return { fault: `is sealed with another key, ${shown(found.keyId)}` }
  const file = decrypt(found, owner, sealedWith)
  return file === undefined ? { fault: 'is damaged' } : { file, keyId: sealedWith.id }
}

function decrypt(found: z.infer<typeof envelope>, owner: CopyOwner, { id, key }: SealingKey): CameraFile | undefined {
  try {
    const nonce = Buffer.from(found.nonce, 'base64')
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
    decipher.setAAD(boundTo(owner, id))
    decipher.setAuthTag(Buffer.from(found.tag, 'base64'))
    const text = Buffer.concat([decipher.update(found.ciphertext, 'base64'), decipher.final()]).toString('utf8')
    return parseCameraFile(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** JSON, so that no two owners give the same bytes. */
function boundTo({ thingName, camera }: CopyOwner, keyId: string): Buffer {
  return Buffer.from(JSON.stringify(['panorama-agent sealed camera', version, keyId, thingName, camera]))
}

/** With spaces, which JSON lets pass. */
function padded(json: string): Buffer {
  const bytes = Buffer.from(json)
  return Buffer.concat([bytes, Buffer.alloc(blockBytes - (bytes.length % blockBytes), ' ')])
}

function isNewer(json: unknown): boolean {
  const { data } = header.safeParse(json)
  return data !== undefined && data.version > version
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Text of a file that may be anything goes into a message: short and printable. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 128))
}
