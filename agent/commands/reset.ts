import { stat } from 'node:fs/promises'

import type { UnprovisionedConfig } from '../config/config-schema.ts'
import { parseUnprovisioned, readConfigDocument } from '../config/load-config.ts'
import { AgentError, errorCode, UsageError } from '../lib/errors.ts'
import { finishReset, removeIdentityFiles } from '../reset/finish-reset.ts'
import { keptInRuntime, lockName, othersInState, secretsInState, unfinishedEntry } from '../reset/kept-entries.ts'
import { writeResetMarker, type ResetMarker } from '../reset/reset-marker.ts'
import { wipeFiles } from '../reset/wipe-files.ts'
import { keptAmong } from '../reset/wipe-folder.ts'
import { lockForReset } from '../composition/session/unfinished-reset.ts'
import type { CommandContext } from './command-context.ts'
import { asOwner, becomeOwner } from './folder-owner.ts'
import { findWayBack, openArchive, type OpenedArchive } from './way-back.ts'

export interface ResetOptions {
  readonly configFile: string
  /** Do it; else only say what would be done. */
  readonly yes: boolean
  /** Without a way back, and with claim and seed. */
  readonly decommission: boolean
  /** A configuration archive to provision from afterwards. */
  readonly archive?: string
}

/**
 * `panorama-agent reset`: wipes everything that the agent keeps below the state and the runtime folder, and refuses where the
 * appliance could not be provisioned again. No agent may run meanwhile. Cut off at any point, it has not begun, or the next
 * start of the agent finishes it.
 */
export async function reset(options: ResetOptions, context: CommandContext): Promise<void> {
  const { configFile, yes, decommission } = options
  const config = parseUnprovisioned(await readConfigDocument(configFile), configFile)
  const { state, runtime } = config.paths
  const identityFiles = decommission ? identityFilesOf(config) : []
  if (!yes) await refuseWithout(config, identityFiles, context)
  const archive = options.archive === undefined ? undefined : await openArchive(options.archive)
  const marker: ResetMarker = { version: 1, decommission, runtime, identityFiles }
  if (!decommission) await becomeOwner(state)
  const lock = await asOwner(state, () => lockForReset(state))
  await using _ = lock
  const next = decommission ? undefined : await wayBack({ config, archive, configFile })
  await asOwner(state, () => writeResetMarker(state, marker))
  const remaining = await removeIdentityFiles(identityFiles, wipeFiles) // while this is root
  await becomeOwner(state)
  await finishReset(state, marker, { files: wipeFiles, signal: context.signal, remaining })
  context.stdout.write(`${state} and ${runtime} are wiped\n`)
  await tellOfOthers(config, context)
  context.stdout.write(next === undefined ? 'the appliance is decommissioned\n' : `next: ${next}\n`)
}

/** The private keys first: a certificate alone is of no use. */
function identityFilesOf({ provisioning, identity }: UnprovisionedConfig): readonly string[] {
  const keys = [provisioning?.claimPrivateKey, identity.privateKey]
  const certificates = [provisioning?.claimCertificate, identity.certificate]
  return [...keys, ...certificates].filter((path) => path !== undefined)
}

/** Says what would be wiped. Always throws. */
async function refuseWithout(
  config: UnprovisionedConfig,
  identityFiles: readonly string[],
  { stdout }: CommandContext,
): Promise<never> {
  const { state, runtime } = config.paths
  const found = {
    [state]: keptAmong(await namesIn(state), [...secretsInState, ...othersInState]),
    [runtime]: keptAmong(await namesIn(runtime), keptInRuntime),
  }
  for (const [folder, names] of Object.entries(found)) {
    stdout.write(`${folder}: ${names.length === 0 ? 'nothing to wipe' : `would wipe ${names.join(', ')}`}\n`)
  }
  for (const path of identityFiles) if (await isThere(path)) stdout.write(`would remove ${path}\n`)
  throw new UsageError('nothing is wiped yet', { hint: 'add --yes, once this is what you want' })
}

interface Looking {
  readonly config: UnprovisionedConfig
  readonly configFile: string
  readonly archive: OpenedArchive | undefined
}

async function wayBack({ config, configFile, archive }: Looking): Promise<string> {
  const { found, faults } = await findWayBack(config, archive)
  if (found === undefined) {
    throw new UsageError(
      `nothing is wiped: the appliance could not be provisioned again. Looked for\n${faults.map((fault) => `  ${fault}\n`).join('')}` +
        `as ${configFile} says`,
      { hint: 'put one of them there, or add --decommission to wipe all the same' },
    )
  }
  const [fault] = archive === undefined ? [] : faults
  if (fault === undefined) return found
  throw new UsageError(`nothing is wiped: ${fault}`, {
    hint: `mend what --archive names; or leave it out, where this will do: ${found}`,
  })
}

/** Whatever else is there is not the agent's, and stays. */
async function tellOfOthers({ paths }: UnprovisionedConfig, { stdout }: CommandContext): Promise<void> {
  const own = [{ name: lockName }, unfinishedEntry]
  for (const folder of new Set([paths.state, paths.runtime])) {
    const names = await namesIn(folder)
    const others = names.filter((name) => keptAmong([name], own).length === 0)
    if (others.length > 0) stdout.write(`left, because the agent does not keep it: ${folder}: ${others.join(', ')}\n`)
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await wipeFiles.list(folder).catch((cause: unknown) => {
    throw new AgentError(`${folder} cannot be read (${errorCode(cause) ?? 'unknown error'})`, {
      hint: 'run this as root or as the user of the agent',
      cause,
    })
  })
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}
