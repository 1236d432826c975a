import { readFile } from 'node:fs/promises'

import * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'
import { pathText, type JsonPath } from '../lib/json-object.ts'
import { schemaWords } from '../lib/schema-words.ts'
import { ConfigError, type ConfigFault } from './config-error.ts'
import { configSchema, unprovisionedSchema, type Config, type UnprovisionedConfig } from './config-schema.ts'

/** The system was short of something, or a disk did not answer: another try may go well. */
const passing = new Set(['EAGAIN', 'EBUSY', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE', 'ETIMEDOUT'])

/**
 * Reads, checks and completes a configuration file. Throws a ConfigError, or a retryable AgentError when what keeps the
 * file from being read may pass by itself.
 */
export async function loadConfig(file: string): Promise<Config> {
  return parseConfig(await readConfigDocument(file), file)
}

/** Reads a configuration file and checks only that it is JSON. Throws as `loadConfig` does. */
export async function readConfigDocument(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const code = errorCode(cause) ?? 'unknown error'
    if (passing.has(code)) throw new AgentError(`${file} cannot be read at the moment`, { retryable: true, cause })
    throw new ConfigError(file, [unreadable(file, code)])
  })
  return parseJson(text, file)
}

/** zod would compile a function for each object of the schema, which takes longer than reading a few configurations. */
const readOnce = { jitless: true, error: schemaWords }

/** A mode, and nothing in the file, is at fault where it may not be read. */
function unreadable(file: string, code: string): ConfigFault {
  if (code === 'ENOENT') {
    return { path: '', message: 'is not there; there is an example in /usr/share/doc/panorama-agent/examples' }
  }
  const fault = { path: '', message: `cannot be read (${code})` }
  if (code !== 'EACCES' && code !== 'EPERM') return fault
  const hint = `let the user that the agent runs as read it: chmod 0644 ${file}, and chmod o+x the folders above it`
  return { ...fault, hint }
}

/** Where state and runtime folder are, also while there is no identity. Throws as `loadConfig` does. */
export async function loadPaths(file: string): Promise<Config['paths']> {
  return parseUnprovisioned(await readConfigDocument(file), file).paths
}

/** Checks a configuration that an appliance without identity may have; `file` names it in the ConfigError. */
export function parseUnprovisioned(json: unknown, file: string): UnprovisionedConfig {
  const { success, data, error } = unprovisionedSchema.safeParse(json, readOnce)
  if (success) return data
  throw configError(file, error.issues.flatMap(describeIssue))
}

const runtimeFolder = z.object({ paths: z.object({ runtime: z.string() }) })

/** The runtime folder that a file names, whatever else is at fault in it; undefined when it names none. */
export async function namedRuntimeFolder(file: string): Promise<string | undefined> {
  const document = await readConfigDocument(file).catch(() => undefined)
  return runtimeFolder.safeParse(document).data?.paths.runtime
}

/** Checks a configuration from anywhere; `file` names it in the ConfigError. */
export function parseConfig(json: unknown, file: string): Config {
  const checked = checkConfig(json)
  if (checked.config !== undefined) return checked.config
  throw configError(file, checked.issues)
}

export interface ConfigIssue {
  readonly path: JsonPath
  readonly message: string
}

export type CheckedConfig =
  | { readonly config: Config; readonly issues?: undefined }
  | { readonly config?: undefined; readonly issues: readonly ConfigIssue[] }

/** Checks a configuration, and answers with it, completed, or with everything that is wrong in it. */
export function checkConfig(json: unknown): CheckedConfig {
  const { success, data, error } = configSchema.safeParse(json, readOnce)
  return success ? { config: data } : { issues: error.issues.flatMap(describeIssue) }
}

function configError(file: string, issues: readonly ConfigIssue[]): ConfigError {
  return new ConfigError(
    file,
    issues.map(({ path, message }) => ({ path: pathText(path), message })),
  )
}

/** Checks only that a text is JSON. Throws a ConfigError that names `file`. */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const message = text.startsWith('\uFEFF') ? byteOrderMark : error instanceof Error ? error.message : String(error)
    throw new ConfigError(file, [{ path: '', message: `is not JSON: ${message}` }])
  }
}

const byteOrderMark = 'it begins with a byte order mark (BOM), which nobody sees: save it as UTF-8 without one'

function describeIssue(issue: z.core.$ZodIssue): readonly ConfigIssue[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'is not a known field' }))
  }
  return [{ path: issue.path, message: issue.message }]
}
