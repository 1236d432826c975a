import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'

import * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'

/** A version of the identity that provisioning, rotation or an operator put into the identity store. */
export interface StoredIdentity {
  /** The name of its folder. */
  readonly id: string
  readonly thingName: string
  /** The one that AWS IoT knows it by. */
  readonly certificateId: string
  readonly certificate: string
  readonly privateKey: string
}

export const identityFiles = {
  certificate: 'certificate.pem',
  privateKey: 'private.key',
  record: 'identity.json',
} as const

/** AWS IoT API Reference, "CreateThing" and "DescribeCertificate". */
export const thingNameSchema = z.string().regex(/^[A-Za-z0-9:_-]{1,128}$/)
export const certificateIdSchema = z.string().regex(/^[A-Za-z0-9]{1,64}$/)

/** `identity.json` of a version. */
export const identityRecordSchema = z.object({
  version: z.literal(1),
  thingName: thingNameSchema,
  certificateId: certificateIdSchema,
  obtainedBy: z.enum(['claim', 'rotation', 'files']),
  at: z.iso.datetime(),
})

export type IdentityRecord = z.infer<typeof identityRecordSchema>

/**
 * Reads the version that a link leads to, all of it from one folder. Answers undefined when nothing is there, and, after
 * `onBad` was told why, when what is there is no identity. Throws a retryable AgentError when that cannot be told now.
 */
export async function readStoredIdentity(
  link: string,
  onBad: (why: string) => void = () => undefined,
): Promise<StoredIdentity | undefined> {
  const folder = await resolved(link)
  if (folder === undefined) return undefined
  const record = parseRecord(await textOf(join(folder, identityFiles.record)))
  const certificate = await textOf(join(folder, identityFiles.certificate))
  const privateKey = await textOf(join(folder, identityFiles.privateKey))
  if (record === undefined || !isPair(certificate, privateKey)) {
    const what = record === undefined ? identityFiles.record : 'the pair of certificate and key'
    onBad(`${folder}: ${what} is missing or damaged`)
    return undefined
  }
  const { thingName, certificateId } = record
  return { id: basename(folder), thingName, certificateId, certificate, privateKey }
}

/** Whether a certificate and a private key in PEM belong together; false also for what is neither. */
export function isPair(certificate: string, privateKey: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey))
  } catch {
    return false
  }
}

async function resolved(link: string): Promise<string | undefined> {
  return await realpath(link).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw unreadable(link, error)
  })
}

/** Empty when there is no such file. */
async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error) || errorCode(error) === 'EISDIR') return ''
    throw unreadable(path, error)
  })
}

function parseRecord(text: string): IdentityRecord | undefined {
  try {
    return identityRecordSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function unreadable(path: string, cause: unknown): AgentError {
  return new AgentError(`${path} cannot be read at the moment`, {
    retryable: true,
    hint: `run this as root or as the user of the agent; where it is the agent itself: ${
      errorCode(cause) === 'EACCES' ? 'give it its state folder, with all that is in it, by chown' : 'see to the disk'
    }`,
    cause,
  })
}
