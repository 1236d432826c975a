import { dirname } from 'node:path'

import { errorCode } from '../lib/errors.ts'
import { DecommissionedError } from './decommissioned-error.ts'
import { keptInRuntime, othersInState, secretsInState } from './kept-entries.ts'
import { resetMarkerIn, type ResetMarker } from './reset-marker.ts'
import type { WipeFiles } from './wipe-files.ts'
import { wipeFolder, type WipeOptions } from './wipe-folder.ts'

export interface FinishOptions extends WipeOptions {
  /** What remains of the marker's identity files, where that was just tried with more rights. */
  readonly remaining?: readonly RemainingFile[]
}

/** A file that could not be removed, and why. */
export interface RemainingFile {
  readonly path: string
  readonly why: string
}

/**
 * Wipes what the marker of a state folder says, identity and secrets first, and then the marker, each durably. May be
 * repeated after a crash at any point. The caller has the lock of the folder. Throws what the file system throws, the
 * signal's reason, or a DecommissionedError, after all else is wiped, when files with an identity remain: the marker stays then.
 */
export async function finishReset(stateFolder: string, marker: ResetMarker, options: FinishOptions): Promise<void> {
  const { files } = options
  const { runtime, identityFiles } = marker
  const remaining = options.remaining ?? (await removeIdentityFiles(identityFiles, files))
  await wipeFolder(stateFolder, secretsInState, options)
  if (runtime !== undefined) await wipeFolder(runtime, keptInRuntime, options)
  await wipeFolder(stateFolder, othersInState, options)
  const path = resetMarkerIn(stateFolder)
  if (remaining.length > 0) {
    const list = remaining.map((file) => `${file.path} (${file.why})`).join(', ')
    throw new DecommissionedError(`this appliance is decommissioned, but files with an identity remain: ${list}`, {
      hint:
        'deactivate their certificates in AWS IoT, and run panorama-agent reset --yes --decommission as root, or remove ' +
        `the files by hand; the agent does not start before that, or before ${path} is removed to take the appliance back into use`,
    })
  }
  await files.removeTree(path)
  await files.sync(stateFolder)
}

/** Removes files that hold an identity, as far as that can be done, durably; answers with those that remain. */
export async function removeIdentityFiles(
  paths: readonly string[],
  files: Pick<WipeFiles, 'remove' | 'sync'>,
): Promise<readonly RemainingFile[]> {
  const remaining: RemainingFile[] = []
  for (const path of paths) {
    try {
      if (await files.remove(path)) await files.sync(dirname(path))
      else remaining.push({ path, why: 'is a folder' })
    } catch (error) {
      remaining.push({ path, why: errorCode(error) ?? 'unknown error' })
    }
  }
  return remaining
}
