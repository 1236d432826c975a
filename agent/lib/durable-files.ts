import { chmod, lstat, mkdir, rename, rm, stat } from 'node:fs/promises'
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

/** Like `makeFolder`, but what stands there and is no folder, a link to one included, makes way for it. */
export async function makeRealFolder(path: string, mode: number): Promise<void> {
  await removeNoFolder(path)
  await makeFolder(path, mode)
}

/** Removes what stands in the place of a folder: a file, or a link, but not what that leads to. */
export async function removeNoFolder(path: string): Promise<void> {
  const isInTheWay = await lstat(path).then(
    (found) => !found.isDirectory(),
    () => false,
  )
  if (isInTheWay) await rm(path, { force: true })
}

/** Renames, replacing what is there, and makes the new name survive a power cut. What is renamed is fsynced already. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncFolder(dirname(to))
}
