import { lstat, readdir, rm, rmdir, unlink } from 'node:fs/promises'

import { syncFolder } from '../lib/atomic-file.ts'
import { errorCode } from '../lib/errors.ts'

/** What a wipe does to the disk. Nothing is followed out of a folder but a link in the place of a folder that is listed. */
export interface WipeFiles {
  /** The names in a folder; none where there is no folder. */
  readonly list: (folder: string) => Promise<readonly string[]>
  /** Removes a file or a link; false where a folder stands there. */
  readonly remove: (path: string) => Promise<boolean>
  /** Removes whatever is there. */
  readonly removeTree: (path: string) => Promise<void>
  /** Removes a folder that is empty; false where it is not, or is none. */
  readonly removeFolder: (path: string) => Promise<boolean>
  /** Makes removals in a folder survive a power cut; nothing where there is no folder. */
  readonly sync: (folder: string) => Promise<void>
}

const notThere = new Set<string | undefined>(['ENOENT', 'ENOTDIR'])

/** The disk itself. Everything throws what the file system throws. */
export const wipeFiles: WipeFiles = {
  list: async (folder) => await readdir(folder).catch(answering<readonly string[]>(notThere, [])),
  remove: async (path) => {
    try {
      await unlink(path)
      return true
    } catch (error) {
      // a read-only file system refuses that also where nothing is there
      if (await isMissing(path)) return true
      if (errorCode(error) === 'EISDIR') return false
      throw error
    }
  },
  removeTree: async (path) => {
    await rm(path, { recursive: true, force: true })
  },
  removeFolder: async (path) => {
    const remove = rmdir(path).then(() => true)
    const isKept = new Set<string | undefined>(['ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EBUSY']) // EBUSY: a file system is mounted there
    return await remove.catch(answering(new Set(['ENOENT']), true)).catch(answering(isKept, false))
  },
  sync: async (folder) => {
    await syncFolder(folder).catch(answering(notThere, undefined))
  },
}

async function isMissing(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => false,
    (error: unknown) => notThere.has(errorCode(error)),
  )
}

function answering<T>(codes: ReadonlySet<string | undefined>, answer: T): (error: unknown) => T {
  return (error) => {
    if (codes.has(errorCode(error))) return answer
    throw error
  }
}
