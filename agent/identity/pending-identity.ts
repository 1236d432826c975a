import { createPrivateKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'
import { certificateIdSchema, isPair, thingNameSchema } from './stored-identity.ts'

/** An identity that is being obtained: everything that has to outlive a power cut. */
export type PendingIdentity = PendingKey | PendingCertificate

interface PendingBase {
  readonly kind: 'claim' | 'rotation'
  readonly template: string
  /** Of the MQTT connection that asks for the certificate: the token is bound to it. */
  readonly clientId: string
  /** In PEM, PKCS #8. */
  readonly privateKey: string
  /** How many that were registered before it were refused for so long that it was asked for in their place. */
  readonly replaced?: number | undefined
}

/** There is a key, and no certificate for it that we know of. */
export interface PendingKey extends PendingBase {
  readonly step: 'key'
}

/** The certificate is there; `registered` once the thing is known to have it. */
export interface PendingCertificate extends PendingBase {
  readonly step: 'certificate' | 'registered'
  readonly certificateId: string
  readonly certificate: string
  /** Proves to RegisterThing that the certificate is ours; good for an hour. */
  readonly token: string
  /** RegisterThing was sent, or was about to be, and its answer is not known. */
  readonly isAsked?: boolean | undefined
  /** Of a registered one. */
  readonly thingName?: string | undefined
  /** Of a registered one: how many times in a row AWS IoT refused it for as long as it may take to know it. */
  readonly refusals?: number | undefined
}

export const pendingFiles = { note: 'pending.json', privateKey: 'private.key', certificate: 'certificate.pem' } as const

const name = z.string().min(1).max(128)
const count = z.int().min(0).optional()
const base = {
  version: z.literal(1),
  kind: z.enum(['claim', 'rotation']),
  template: name,
  clientId: name,
  replaced: count,
}

/** `pending.json`: what is known of it beside the PEM files. */
const noteSchema = z.discriminatedUnion('step', [
  z.object({ ...base, step: z.literal('key') }),
  z.object({
    ...base,
    step: z.enum(['certificate', 'registered']),
    certificateId: certificateIdSchema,
    token: z.string().max(8192),
    isAsked: z.boolean().optional(),
    thingName: thingNameSchema.optional(),
    refusals: count,
  }),
])

export type PendingNote = z.infer<typeof noteSchema>

export function parsePendingNote(json: unknown): PendingNote {
  return noteSchema.parse(json)
}

/**
 * Whether an identity is being obtained by claim, as far as the disk says; nothing is changed on it. Throws a retryable
 * AgentError when that cannot be told now.
 */
export async function isBeingClaimed(identityFolder: string): Promise<boolean> {
  const path = join(identityFolder, 'pending', pendingFiles.note)
  try {
    return parsePendingNote(JSON.parse(await readFile(path, 'utf8'))).kind === 'claim'
  } catch (cause) {
    const code = errorCode(cause)
    if (code === undefined || code === 'ENOENT' || code === 'ENOTDIR' || code.startsWith('ERR_')) return false
    throw new AgentError(`${path} cannot be read at the moment`, { retryable: true, cause })
  }
}

/** The certificate that stays in AWS IoT if this is given up: any other is deleted there after an hour. */
export function orphanOf(pending: PendingIdentity | undefined): string | undefined {
  if (pending === undefined || pending.step === 'key') return undefined
  return pending.step === 'registered' || pending.isAsked === true ? pending.certificateId : undefined
}

/** What goes into `pending.json`. */
export function pendingNote(pending: PendingIdentity): PendingNote {
  const { kind, template, clientId, replaced } = pending
  const shared = { version: 1, kind, template, clientId, replaced } as const
  if (pending.step === 'key') return { ...shared, step: pending.step }
  const { step, certificateId, token, isAsked, thingName, refusals } = pending
  return { ...shared, step, certificateId, token, isAsked, thingName, refusals }
}

/** Joins the files; undefined when one is missing or damaged, or when they do not belong together. */
export function joinPending(
  note: PendingNote,
  { privateKey, certificate }: { readonly privateKey: string; readonly certificate: string },
): PendingIdentity | undefined {
  const { kind, template, clientId, replaced } = note
  const base = { kind, template, clientId, privateKey, replaced }
  if (note.step === 'key') return isKey(privateKey) ? { ...base, step: note.step } : undefined
  const { step, certificateId, token, isAsked, thingName, refusals } = note
  if (step === 'registered' && thingName === undefined) return undefined
  if (!isPair(certificate, privateKey)) return undefined
  return { ...base, step, certificateId, certificate, token, isAsked, thingName, refusals }
}

function isKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).type === 'private'
  } catch {
    return false
  }
}
