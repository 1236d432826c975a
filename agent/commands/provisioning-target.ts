import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { identityFolderIn } from '../config/base-document.ts'
import type { ProvisioningConfig, UnprovisionedConfig } from '../config/config-schema.ts'
import type { KeyPair } from '../identity/fleet-provisioning.ts'
import { readStoredIdentity, type StoredIdentity } from '../identity/stored-identity.ts'
import { AgentError, errorCode, UsageError } from '../lib/errors.ts'

export interface Replacing {
  readonly config: UnprovisionedConfig
  readonly replace: boolean
}

/** AWS IoT names a certificate by the SHA-256 of its DER (API Reference, "DescribeCertificate"). */
export function certificateIdOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase()
}

/** The identity that another one takes the place of, if any. Throws a UsageError where that is not wanted. */
export async function replacedIdentity(
  { config, replace }: Replacing,
  { certificate }: KeyPair,
): Promise<StoredIdentity | undefined> {
  const before = await readStoredIdentity(join(identityFolderIn(config.paths.state), 'current'))
  if (before === undefined || before.certificateId === certificateIdOf(certificate)) return undefined
  if (replace) return before
  throw new UsageError(
    `this appliance has an identity already: ${before.thingName} with certificate ${before.certificateId}`,
    { hint: 'add --replace to put this one in its place: key and certificate of before are deleted' },
  )
}

/** The id of the claim that another one takes the place of, if any. Throws where that is not wanted, or where there is no folder for it. */
export async function replacedClaim(
  { config, replace }: Replacing,
  { certificate }: KeyPair,
): Promise<string | undefined> {
  const { claimCertificate, claimPrivateKey } = claimSection(config)
  for (const path of [claimCertificate, claimPrivateKey]) await expectFolder(dirname(path))
  const before = claimIn(await textOf(claimCertificate))
  if (before === undefined || before === certificateIdOf(certificate)) return undefined
  if (replace) return before
  throw new UsageError(`there is another claim already: ${claimCertificate} is certificate ${before}`, {
    hint: 'add --replace to put this one in its place',
  })
}

export function claimSection({ provisioning }: UnprovisionedConfig): ProvisioningConfig {
  if (provisioning !== undefined) return provisioning
  throw new AgentError('the configuration has no section "provisioning" for a claim')
}

async function expectFolder(folder: string): Promise<void> {
  await stat(folder).catch((error: unknown) => {
    const code = errorCode(error) ?? 'unknown error'
    throw new AgentError(`the folder for the claim, ${folder}, is not there (${code})`, {
      hint: `as root: install -d -m 0700 -o panorama-agent -g panorama-agent ${folder}`,
    })
  })
}

function claimIn(pem: string): string | undefined {
  try {
    return certificateIdOf(pem)
  } catch {
    return undefined // which no one can use
  }
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return ''
    throw new AgentError(`${path} cannot be read`, { hint: 'run this as root or as the user of the agent', cause })
  })
}
