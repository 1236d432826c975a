import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'
import { writeJsonState } from '../lib/json-state.ts'

const schema = z.object({
  version: z.literal(1),
  decommission: z.boolean(),
  runtime: z.string(),
  identityFiles: z.array(z.string()),
})

/** A reset that was decided, and is not over. */
export interface ResetMarker {
  readonly version: 1
  readonly decommission: boolean
  /** The runtime folder, which the configuration may no longer name. */
  readonly runtime?: string | undefined
  /** Of a decommission: what else holds an identity, the private keys first. */
  readonly identityFiles: readonly string[]
}

export function resetMarkerIn(stateFolder: string): string {
  return join(stateFolder, 'reset.json')
}

/**
 * The marker of a state folder; undefined when there is none. One that is damaged still says that everything was to be
 * wiped. Throws a retryable AgentError when that cannot be told now.
 */
export async function readResetMarker(stateFolder: string): Promise<ResetMarker | undefined> {
  const path = resetMarkerIn(stateFolder)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const code = errorCode(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (code === 'EISDIR') return ''
    throw new AgentError(`${path} cannot be read at the moment`, { retryable: true, cause })
  })
  return text === undefined ? undefined : parse(text)
}

/** Durable once it resolves. Throws a WriteError. */
export async function writeResetMarker(stateFolder: string, marker: ResetMarker): Promise<void> {
  await writeJsonState(resetMarkerIn(stateFolder), marker)
}

function parse(text: string): ResetMarker {
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    return { version: 1, decommission: false, identityFiles: [] }
  }
}
