import { readFile, rename } from 'node:fs/promises'

import { AgentError, errorCode } from './errors.ts'
import { writeFileAtomic } from './atomic-file.ts'
import type { Log } from './log.ts'
import { schemaFault } from './schema-words.ts'

export interface JsonState<T> {
  readonly path: string
  readonly log: Log
  /** Turns the parsed JSON into the value; throws when it is not one. */
  readonly parse: (json: unknown) => T
  /**
   * Where what is lost with this file cannot be had again: asked when it cannot be read at all, as for want of
   * descriptors or on a disk that does not answer, by the error's code, whether it is left alone and a retryable AgentError
   * thrown.
   */
  readonly isVital?: (code: string) => boolean
}

/**
 * Reads a small state file. Answers undefined when there is none. A file that cannot be read or parsed is moved
 * aside to `<path>.unreadable` and reported, so that starting never depends on the health of state.
 */
export async function readJsonState<T>({ path, log, parse, isVital }: JsonState<T>): Promise<T | undefined> {
  try {
    return parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT') return undefined
    if (code !== undefined && code !== 'EISDIR' && isVital?.(code) === true) {
      throw new AgentError(`${path} cannot be read at the moment`, { retryable: true, cause: error })
    }
    log.warn('state file cannot be read and is set aside', {
      path,
      aside: `${path}.unreadable`,
      error: schemaFault(error),
    })
    await rename(path, `${path}.unreadable`).catch((cause: unknown) => {
      log.warn('state file cannot be set aside', { path, error: cause })
    })
    return undefined
  }
}

/** Writes a small state file, readable by the agent alone. */
export async function writeJsonState(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value)}\n`, { mode: 0o600 })
}
