import { readFile } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'

import * as z from 'zod'

import { isBeingClaimed } from '../identity/pending-identity.ts'
import { readStoredIdentity } from '../identity/stored-identity.ts'
import { isJsonObject, ownField } from '../lib/json-object.ts'
import { writeJsonState } from '../lib/json-state.ts'
import type { ConfigFault } from './config-error.ts'
import { defaultStateFolder, type Config, type UnprovisionedConfig } from './config-schema.ts'
import { parseConfig, parseUnprovisioned, readConfigDocument } from './load-config.ts'

/** A base file that is good by itself. */
export interface BaseDocument {
  /** With the thing name of the identity that the appliance got for itself, where it did. */
  readonly document: unknown
  readonly config: Config
  /** Why the copy of an earlier one stands in for the file. */
  readonly fault?: unknown
  /** That the file names another thing than the one that the identity is of. */
  readonly warning?: ConfigFault | undefined
}

const copySchema = z.object({ version: z.literal(1), file: z.string(), document: z.unknown() })

/** Where versions of the overlay are, and the copy of the base file. */
export function configFolderIn(stateFolder: string): string {
  return join(stateFolder, 'config')
}

/** Where the identity is that the appliance got for itself. */
export function identityFolderIn(stateFolder: string): string {
  return join(stateFolder, 'identity')
}

/**
 * Reads and checks the base file, with the thing name of the identity that is in use. Throws as `loadConfig` does, also
 * where there is neither a thing name nor an identity.
 */
export async function readBase(file: string): Promise<BaseDocument> {
  const written = await readConfigDocument(file)
  const { document, warning } = await withThingName(written)
  return { document, config: parseConfig(document, file), ...(warning === undefined ? {} : { warning }) }
}

/**
 * The configuration of an appliance that has yet to get its identity by itself; undefined where it has one, and where the
 * base file is at fault, which `readBase` tells. Throws a retryable AgentError when that cannot be told now.
 */
export async function readUnprovisioned(file: string): Promise<UnprovisionedConfig | undefined> {
  const written = await readConfigDocument(file).catch(() => undefined)
  if (written === undefined) return undefined
  const config = parsedOrUndefined(written, file)
  if (config?.provisioning === undefined) return undefined
  return (await lacksIdentity(config)) ? config : undefined
}

/** Whether neither the configuration nor the state folder holds an identity that is complete. Throws as `readUnprovisioned` does. */
export async function lacksIdentity({ identity, paths }: UnprovisionedConfig): Promise<boolean> {
  if (identity.certificate !== undefined) return false
  const folder = identityFolderIn(paths.state)
  const stored = await readStoredIdentity(join(folder, 'current'))
  return stored === undefined || (await isBeingClaimed(folder))
}

/**
 * Reads and checks the base file, or takes the copy of what stood in that file when it was last in use. That is looked for in the
 * state folder that the file names, or else in `usualState`. Throws as `loadConfig` does when there is no copy either.
 */
export async function openBase(file: string, usualState: string): Promise<BaseDocument> {
  try {
    return await readBase(file)
  } catch (fault) {
    const copy = await readCopy(file, (await namedState(file)) ?? usualState)
    if (copy === undefined) throw fault
    return { ...copy, fault }
  }
}

/** The state folders that an agent with this base file may use, whatever else is wrong with the file. */
export async function stateFoldersOf(file: string, usualState: string): Promise<readonly string[]> {
  const named = await namedState(file)
  return named === undefined ? [...new Set([usualState, defaultStateFolder])] : [named]
}

/** Keeps a copy of a base file that is in use. Throws a WriteError. */
export async function writeBaseCopy(file: string, { document, config }: BaseDocument): Promise<void> {
  const copy = { version: 1, file: resolve(file), document }
  await writeJsonState(copyPath(config.paths.state), copy)
}

/** The copy of what stood in `file`; undefined when there is none that is good. */
export async function readCopy(file: string, stateFolder: string): Promise<BaseDocument | undefined> {
  try {
    const copy = copySchema.parse(JSON.parse(await readFile(copyPath(stateFolder), 'utf8')))
    if (copy.file !== resolve(file)) return undefined
    return { document: copy.document, config: parseConfig(copy.document, copyPath(stateFolder)) }
  } catch {
    return undefined
  }
}

function parsedOrUndefined(document: unknown, file: string): UnprovisionedConfig | undefined {
  try {
    return parseUnprovisioned(document, file)
  } catch {
    return undefined
  }
}

interface NamedDocument {
  readonly document: unknown
  readonly warning?: ConfigFault
}

/** The identity decides: AWS IoT knows a certificate by the thing that it is attached to, whatever a file says. */
async function withThingName(document: unknown): Promise<NamedDocument> {
  const device = isJsonObject(document) ? ownField(document, 'device') : undefined
  if (!isJsonObject(document) || !isJsonObject(device)) return { document }
  const named = ownField(device, 'thingName')
  const state = stateOf(document) ?? defaultStateFolder
  const stored = await readStoredIdentity(join(identityFolderIn(state), 'current')).catch((error: unknown) => {
    if (named === undefined) throw error // else only its owner needs to know what is in use
  })
  if (stored === undefined || stored.thingName === named) return { document }
  const { thingName } = stored
  const filled = { document: { ...document, device: { ...device, thingName } } }
  if (named === undefined) return filled
  const message = `names another thing than the identity in ${identityFolderIn(state)}, which is of ${thingName}: that one is used`
  return { ...filled, warning: { path: 'device.thingName', message } }
}

/** The state folder that a base file names, whatever else is wrong with it. */
async function namedState(file: string): Promise<string | undefined> {
  return stateOf(await readConfigDocument(file).catch(() => undefined))
}

function stateOf(document: unknown): string | undefined {
  const paths = isJsonObject(document) ? ownField(document, 'paths') : undefined
  const state = isJsonObject(paths) ? ownField(paths, 'state') : undefined
  return typeof state === 'string' && isAbsolute(state) ? state : undefined
}

function copyPath(stateFolder: string): string {
  return join(configFolderIn(stateFolder), 'base.json')
}
