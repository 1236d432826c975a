import { readFile } from 'node:fs/promises'

import { ConfigError, type ConfigFault } from '../../agent/config/config-error.ts'
import type { UnprovisionedConfig } from '../../agent/config/config-schema.ts'
import { configWarnings } from '../../agent/config/config-warnings.ts'
import { parseUnprovisioned, readConfigDocument } from '../../agent/config/load-config.ts'
import { findImageFile, type ImageFile } from './image-file.ts'
import { readImageUser, userName, type ImageUser } from './image-user.ts'
import { claimFiles, namedFiles, usesClaim, type NamedFile } from './named-files.ts'

/** What is in an image, or will be. */
export interface CheckedImage {
  /** Its root file system, a folder of this machine. */
  readonly root: string
  /** As its programs have it: `/etc/panorama-agent/config.json`. */
  readonly configFile: string
  /** Whether a claim is put to its usual place. */
  readonly isClaimBrought: boolean
}

export interface ImageReport {
  /** Each keeps the agent from its work on every appliance of the image. */
  readonly faults: readonly ConfigFault[]
  readonly warnings: readonly ConfigFault[]
}

/**
 * Checks the configuration of an image by the agent's own rules, and each file that it names inside of the image, for the
 * user that the service runs as there. Undefined where there is no configuration yet.
 */
export async function checkImage({ root, configFile, isClaimBrought }: CheckedImage): Promise<ImageReport | undefined> {
  const user = await readImageUser(root)
  const file = await findImageFile(root, configFile, user)
  if (file.state === 'missing') return undefined
  if (file.state === 'denied') return { faults: [deniedFault('', file.at, user)], warnings: [] }
  const read = await parsed(file.hostPath)
  if ('faults' in read) return { faults: read.faults, warnings: [] }
  const { config } = read
  const looked = await Promise.all(
    namedFiles(config, isClaimBrought).map(async (named) => ({ named, found: await look(root, named, user) })),
  )
  const of = (kind: 'fault' | 'warning'): readonly ConfigFault[] =>
    looked.flatMap(({ named, found }) => (found?.kind === kind ? [{ path: named.field, message: found.message }] : []))
  return {
    faults: [...(isClaimBrought ? unusedClaim(config) : []), ...of('fault')],
    warnings: [...configWarnings(config), ...of('warning')],
  }
}

async function parsed(
  hostPath: string,
): Promise<{ readonly config: UnprovisionedConfig } | Pick<ImageReport, 'faults'>> {
  try {
    return { config: parseUnprovisioned(await readConfigDocument(hostPath), hostPath) }
  } catch (error) {
    if (error instanceof ConfigError) return { faults: error.faults }
    throw error
  }
}

/** A claim that is brought where nobody will look for it. */
function unusedClaim(config: UnprovisionedConfig): readonly ConfigFault[] {
  if (config.provisioning === undefined) {
    return [{ path: 'provisioning', message: 'is missing: without it no appliance uses the claim' }]
  }
  if (!usesClaim(config)) {
    const message = 'is named: an appliance with an identity of its own does not use the claim'
    return [{ path: 'identity.certificate', message }]
  }
  const { provisioning } = config
  return (['claimCertificate', 'claimPrivateKey'] as const)
    .filter((name) => provisioning[name] !== claimFiles[name])
    .map((name) => ({
      path: `provisioning.${name}`,
      message: `is ${provisioning[name]}, and --claim puts it to ${claimFiles[name]}: leave it out`,
    }))
}

interface Found {
  readonly kind: 'fault' | 'warning'
  readonly message: string
}

async function look(root: string, named: NamedFile, user: ImageUser): Promise<Found | undefined> {
  const { path, mayBeMissing, check } = named
  const file = await findImageFile(root, path, user)
  switch (file.state) {
    case 'missing':
      return {
        kind: mayBeMissing === undefined ? 'fault' : 'warning',
        message: `${path} is not in the image${mayBeMissing === undefined ? '' : `: ${mayBeMissing}`}`,
      }
    case 'denied':
      return { kind: 'fault', message: deniedFault('', file.at, user).message }
    case 'readable':
      return await checkContent(file, path, check)
  }
}

async function checkContent(
  { hostPath }: Extract<ImageFile, { readonly state: 'readable' }>,
  path: string,
  check: NamedFile['check'],
): Promise<Found | undefined> {
  try {
    await check?.(await readFile(hostPath, 'utf8'))
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { kind: 'fault', message: `${path} does not hold what it should: ${reason}` }
  }
}

function deniedFault(field: string, at: string, { uid }: ImageUser): ConfigFault {
  const what = uid === undefined ? `, who the image does not have yet: only what all may read will do` : ''
  return { path: field, message: `${at} cannot be read by ${userName}${what}` }
}
