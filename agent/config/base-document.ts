import { readFile } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'

import * as z from 'zod'

import { isJsonObject, ownField } from '../lib/json-object.ts'
import { writeJsonState } from '../lib/json-state.ts'
import type { Config } from './config-schema.ts'
import { parseConfig, readConfigDocument } from './load-config.ts'

/** A base file that is good by itself. */
export interface BaseDocument {
  readonly document: unknown
  readonly config: Config
  /** Why the copy of an earlier one stands in for the file. */
  readonly fault?: unknown
}

const copySchema = z.object({ version: z.literal(1), file: z.string(), document: z.unknown() })

/** Where versions of the overlay are, and the copy of the base file. */
export function configFolderIn(stateFolder: string): string {
  return join(stateFolder, 'config')
}

/** Reads and checks the base file. Throws as `loadConfig` does. */
export async function readBase(file: string): Promise<BaseDocument> {
  const document = await readConfigDocument(file)
  return { document, config: parseConfig(document, file) }
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

/** The state folder that a base file names, whatever else is wrong with it. */
async function namedState(file: string): Promise<string | undefined> {
  const document = await readConfigDocument(file).catch(() => undefined)
  const paths = isJsonObject(document) ? ownField(document, 'paths') : undefined
  const state = isJsonObject(paths) ? ownField(paths, 'state') : undefined
  return typeof state === 'string' && isAbsolute(state) ? state : undefined
}

function copyPath(stateFolder: string): string {
  return join(configFolderIn(stateFolder), 'base.json')
}
