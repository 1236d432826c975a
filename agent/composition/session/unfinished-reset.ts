import { join } from 'node:path'

import { AgentError } from '../../lib/errors.ts'
import { lockFile } from '../../lib/file-lock.ts'
import type { Log } from '../../lib/log.ts'
import { finishReset } from '../../reset/finish-reset.ts'
import { lockName } from '../../reset/kept-entries.ts'
import { readResetMarker } from '../../reset/reset-marker.ts'
import { wipeFiles } from '../../reset/wipe-files.ts'
import { StartError } from './state-folders.ts'

/**
 * Finishes a reset of a state folder that was cut off, if there is one. To be called before anything else is read there.
 * Throws a StartError while the reset is still being done, and otherwise as `finishReset` does.
 */
export async function finishUnfinishedReset(stateFolder: string, log: Log, signal: AbortSignal): Promise<void> {
  if ((await readResetMarker(stateFolder)) === undefined) return
  await using _ = await lockForReset(stateFolder)
  const marker = await readResetMarker(stateFolder)
  if (marker === undefined) return // whoever had the lock has finished it
  log.warn('a reset was cut off, and is finished', { state: stateFolder, decommission: marker.decommission })
  await finishReset(stateFolder, marker, { files: wipeFiles, signal })
  log.info('the reset is finished', { state: stateFolder })
}

/** The lock that a running agent has. Throws a StartError when it cannot be had. */
export async function lockForReset(stateFolder: string): Promise<AsyncDisposable> {
  const path = join(stateFolder, lockName)
  const lock = await lockFile(path).catch((cause: unknown) => {
    throw new AgentError(`${path} cannot be opened, so nothing can be reset`, {
      hint: 'run this as root or as the user of the agent, on a file system that can be written',
      cause,
    })
  })
  if (lock !== 'taken') return lock
  throw new StartError(`an agent works on ${stateFolder}`, { hint: 'stop it first: systemctl stop panorama-agent' })
}
