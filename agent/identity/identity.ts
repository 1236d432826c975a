import { X509Certificate } from 'node:crypto'
import { readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError, errorCode } from '../lib/errors.ts'
import { pairFault } from './pair-fault.ts'
import { identityFiles } from './stored-identity.ts'

/** The certificate, the private key and the trusted roots in PEM, read and found to belong together. */
export interface Identity {
  readonly certificate: string
  readonly privateKey: string
  readonly roots: string
  /** `live` is what provisioning or rotation wrote; `seed` is what the configuration names. */
  readonly origin: 'live' | 'seed'
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** The identity is not there, or is not usable. A missing one is waited for: provisioning may still bring it. */
export class IdentityError extends AgentError {
  override readonly name = 'IdentityError'
  readonly fault: 'missing' | 'unusable'

  constructor(fault: 'missing' | 'unusable', message: string, hint: string) {
    super(message, { retryable: fault === 'missing', hint })
    this.fault = fault
  }
}

export interface IdentityLocation {
  /** From the image or the operator; may be read-only. Certificate and key may be left to provisioning. */
  readonly seed: SeedPaths
  /** `<state>/identity/current`, written by provisioning and rotation. */
  readonly liveFolder: string
}

interface SeedPaths {
  readonly certificate?: string | undefined
  readonly privateKey?: string | undefined
  readonly rootCa: string
}

export interface IdentityPathsInUse extends IdentityPaths {
  readonly isLive: boolean
}

/**
 * Reads the live identity, or the seed when there is no live one. The roots always come from the seed. Throws an
 * IdentityError that names the file; key material never stands in a message.
 */
export async function loadIdentity({ seed, liveFolder }: IdentityLocation): Promise<Identity> {
  const { isLive, ...paths } = await identityPaths({ seed, liveFolder })
  return { ...(await readIdentity(paths)), origin: isLive ? 'live' : 'seed' }
}

/** The files that are in use. Throws an IdentityError where there are none, or where it cannot be told whether there is a live one. */
export async function identityPaths({ seed, liveFolder }: IdentityLocation): Promise<IdentityPathsInUse> {
  const folder = await resolved(liveFolder)
  const { certificate, privateKey, rootCa } = seed
  const live = {
    certificate: join(folder, identityFiles.certificate),
    privateKey: join(folder, identityFiles.privateKey),
  }
  if (await exists(live.certificate)) return { ...live, rootCa, isLive: true }
  if (certificate !== undefined && privateKey !== undefined) return { certificate, privateKey, rootCa, isLive: false }
  throw new IdentityError(
    'missing',
    `${live.certificate} is not there`,
    'provision the appliance; the agent waits for it',
  )
}

export interface IdentityPaths {
  readonly certificate: string
  readonly privateKey: string
  readonly rootCa: string
}

/** Reads a certificate with its key and the trusted roots. Throws as `loadIdentity` does. */
export async function readIdentity(paths: IdentityPaths): Promise<Omit<Identity, 'origin'>> {
  const { certificate: certificatePath, privateKey: keyPath, rootCa } = paths
  const privateKey = await read(keyPath)
  const [certificate, roots] = await Promise.all([read(certificatePath), read(rootCa)])
  const fault = pairFault({ certificate, privateKey }, { certificate: certificatePath, privateKey: keyPath })
  if (fault !== undefined) throw unusable(fault.message, fault.hint)
  await refuseOpenKey(keyPath) // after that: what is no key may well be read by others
  const parsed = parseCertificate(certificate, certificatePath)
  parseCertificate(roots, rootCa)
  return {
    certificate,
    privateKey,
    roots,
    notBeforeMs: parsed.validFromDate.getTime(),
    notAfterMs: parsed.validToDate.getTime(),
  }
}

/** The configured roots in PEM, or an empty string while they cannot be read. */
export async function readRootCa(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '')
}

async function refuseOpenKey(path: string): Promise<void> {
  const { mode } = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  if ((mode & 0o027) === 0) return
  const shown = (mode & 0o777).toString(8).padStart(4, '0')
  throw unusable(`${path} can be read by others, or written by its group (mode ${shown})`, `chmod g-w,o= ${path}`)
}

async function read(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    throw unreadable(path, error)
  })
}

/** Where a link leads, once for all files in it; the path itself when it leads nowhere. */
async function resolved(folder: string): Promise<string> {
  return await realpath(folder).catch(() => folder)
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw unreadable(path, error)
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch {
    throw unusable(
      `${path} holds no certificate in PEM`,
      `put a certificate that begins with -----BEGIN CERTIFICATE----- there`,
    )
  }
}

function unreadable(path: string, error: unknown): IdentityError {
  const code = errorCode(error) ?? 'an unknown error'
  if (isMissing(error)) {
    return new IdentityError(
      'missing',
      `${path} is not there`,
      'provision the appliance, or mend identity.* in the configuration; the agent waits for it',
    )
  }
  return unusable(`${path} cannot be read (${code})`, 'let the user that the agent runs as read it')
}

function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function unusable(message: string, hint: string): IdentityError {
  return new IdentityError('unusable', message, hint)
}
