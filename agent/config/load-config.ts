import { readFile } from 'node:fs/promises'

import type * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'
import { configSchema, type Config } from './config-schema.ts'

export interface ConfigFault {
  /** Where in the file: `artifacts[0].prefix`. */
  readonly path: string
  readonly message: string
}

/** The configuration file cannot be used. The message lists every fault at once, each with its path. */
export class ConfigError extends AgentError {
  override readonly name = 'ConfigError'
  readonly faults: readonly ConfigFault[]

  constructor(file: string, faults: readonly ConfigFault[]) {
    const lines = faults.map(({ path, message }) => `  ${path === '' ? '(whole file)' : path}: ${message}`)
    super(`${file} has ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}:\n${lines.join('\n')}`, {
      hint: `mend the file and start again; agent.schema.json describes every field (in config/, installed in /usr/share/panorama-agent/)`,
    })
    this.faults = faults
  }
}

/** The system was short of something, or a disk did not answer: another try may go well. */
const passing = new Set(['EAGAIN', 'EBUSY', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE', 'ETIMEDOUT'])

/**
 * Reads, checks and completes a configuration file. Throws a ConfigError, or a retryable AgentError when what keeps the
 * file from being read may pass by itself.
 */
export async function loadConfig(file: string): Promise<Config> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const code = errorCode(cause) ?? 'unknown error'
    if (passing.has(code)) throw new AgentError(`${file} cannot be read at the moment`, { retryable: true, cause })
    const message =
      code === 'ENOENT'
        ? 'is not there; there is an example in /usr/share/doc/panorama-agent/examples'
        : `cannot be read (${code})`
    throw new ConfigError(file, [{ path: '', message }])
  })
  return parseConfig(parseJson(text, file), file)
}

/** Checks a configuration from anywhere; `file` names it in the ConfigError. */
export function parseConfig(json: unknown, file: string): Config {
  const { success, data, error } = configSchema.safeParse(json)
  if (success) return data
  throw new ConfigError(file, error.issues.flatMap(describeIssue))
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new ConfigError(file, [{ path: '', message: `is not JSON: ${message}` }])
  }
}

function describeIssue(issue: z.core.$ZodIssue): readonly ConfigFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: 'is not a known field' }))
  }
  return [{ path: pathText(issue.path), message: isMissing(issue) ? 'is missing' : issue.message }]
}

function isMissing(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
}

function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    return text === '' ? String(key) : `${text}.${String(key)}`
  }, '')
}
