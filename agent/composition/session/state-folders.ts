import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import type { Config } from '../../config/config-schema.ts'
import { removeUnfinished } from '../../lib/atomic-file.ts'
import { makeFolder } from '../../lib/durable-files.ts'
import { AgentError } from '../../lib/errors.ts'
import { lockFile } from '../../lib/file-lock.ts'
import type { Log } from '../../lib/log.ts'
import { pendingReset, type PendingReset } from '../../reset/pending-reset.ts'

/** Something could not be started, so that nothing of it ran. */
export class StartError extends AgentError {
  override readonly name = 'StartError'
}

/**
 * Two agents on one state folder would undo each other's work. Where no lock file can be made, such as on a file system
 * that has become read-only, the agent goes on without. With the lock, what a crash left half written in the folder itself
 * is removed. Throws a StartError when another process has it, and while a reset
 * of the folder is not finished.
 */
export async function lockState(state: string, log: Log): Promise<AsyncDisposable | undefined> {
  const lock = await lockFile(join(state, 'lock')).catch((error: unknown) => {
    log.warn('the state folder cannot be locked against a second agent', { state, error })
    return undefined
  })
  if (lock === 'taken') {
    throw new StartError(`another agent works on ${state}`, { hint: 'stop it, or name another folder in paths.state' })
  }
  let reset: PendingReset | undefined
  try {
    reset = await pendingReset(state)
    if (reset === undefined) {
      if (lock !== undefined) await removeUnfinished(state) // without the lock, somebody may be writing
      return lock
    }
  } catch (error) {
    await lock?.[Symbol.asyncDispose]()
    throw error
  }
  await lock?.[Symbol.asyncDispose]()
  throw new StartError(reset.message, { hint: reset.hint })
}

/**
 * Makes the folders that everything stands on. Fails only when state or runtime are not there at all: on a file system
 * that has become read-only, cameras and logs go on, and each worker reports what it cannot write.
 */
export async function makeFolders(paths: Config['paths'], log: Log): Promise<void> {
  const folders = [
    { path: paths.state, mode: 0o711, isVital: true },
    { path: join(paths.state, 'artifacts'), mode: 0o755, isVital: false },
    { path: join(paths.state, 'identity'), mode: 0o700, isVital: false },
    { path: paths.runtime, mode: 0o755, isVital: true },
  ]
  for (const { path, mode, isVital } of folders) {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 })
      await makeFolder(path, mode)
    } catch (cause) {
      const error = new StartError(`the folder ${path} cannot be made`, {
        hint: 'let the user that the agent runs as write there, or name other folders in paths.*',
        cause,
      })
      if (isVital && !(await isFolder(path))) throw error
      log.error('folder is not as it should be', { error })
    }
  }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
