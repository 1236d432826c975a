import { stat } from 'node:fs/promises'

import { errorCode } from '../lib/errors.ts'
import { readResetMarker, resetMarkerIn } from './reset-marker.ts'

/** A reset that was decided, and is not over, for people. */
export interface PendingReset {
  readonly message: string
  /** What to do next, as an imperative sentence. */
  readonly hint: string
}

/** That of a state folder, if there is one. Throws a retryable AgentError when that cannot be told now. */
export async function pendingReset(stateFolder: string): Promise<PendingReset | undefined> {
  const message = `a reset of ${stateFolder} is not finished`
  const marker = await readResetMarker(stateFolder).catch(async (error: unknown) => {
    if ((await isThere(resetMarkerIn(stateFolder))) !== true) throw error
    return 'unseen' as const
  })
  if (marker === undefined) return undefined
  if (marker === 'unseen') return { message, hint: 'run panorama-agent doctor as root: it says how it is finished' }
  const remaining: string[] = []
  for (const path of marker.identityFiles) if ((await isThere(path)) !== false) remaining.push(path)
  if (remaining.length === 0) return { message, hint: 'start the agent, which finishes it first' }
  return {
    message: `${message}: the appliance is decommissioned, but files with an identity remain, and the agent does not start beside them: ${remaining.join(', ')}`,
    hint:
      'run panorama-agent reset --yes --decommission as root, or remove the files by hand; to take the appliance back ' +
      `into use, remove ${resetMarkerIn(stateFolder)} instead`,
  }
}

/** Undefined where that cannot be told. */
async function isThere(path: string): Promise<boolean | undefined> {
  return await stat(path).then(
    () => true,
    (error: unknown) => (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR' ? false : undefined),
  )
}
