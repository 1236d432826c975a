import { chmod, mkdir, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { syncFolder } from './atomic-file.ts'
import { errorCode } from './errors.ts'

/** Makes sure that a folder is there with exactly these permission bits, whatever the umask, also after a power cut. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    // a folder that is right already is not written again: the flash of an idle appliance rests
    const found = await stat(path)
    if (!found.isDirectory()) throw error
    if ((found.mode & 0o7777) === mode) return
  }
  await chmod(path, mode)
  await syncFolder(dirname(path))
}

/** Renames, replacing what is there, and makes the new name survive a power cut. What is renamed is fsynced already. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncFolder(dirname(to))
}
