import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { errorCode } from '../../agent/lib/errors.ts'
import { runCommand } from './run-command.ts'
import { tempFolder } from './temp-folder.ts'

/** Mounts a small file system with 1,000 inodes over an empty folder; disposing unmounts it. Needs root. */
export async function mountSmallDisk(folder: string, size = '8m'): Promise<AsyncDisposable> {
  await runCommand('mount', ['-t', 'tmpfs', '-o', `size=${size},nr_inodes=1000,mode=0755`, 'tmpfs', folder])
  return {
    [Symbol.asyncDispose]: async () => {
      await runCommand('umount', ['--lazy', folder])
    },
  }
}

/** Has whoever opens a file find another one in its place; disposing undoes that. Needs root. */
export async function mountOver(file: string, other: string): Promise<AsyncDisposable> {
  await runCommand('mount', ['--bind', other, file])
  return { [Symbol.asyncDispose]: () => uncover(file) }
}

export async function remountReadOnly(folder: string): Promise<void> {
  await runCommand('mount', ['-o', 'remount,ro', folder])
}

/** Has whoever goes by the path find a folder read-only, also while files in it are open for writing. */
export async function coverReadOnly(folder: string): Promise<void> {
  await runCommand('mount', ['--bind', folder, folder])
  await runCommand('mount', ['-o', 'remount,bind,ro', folder])
}

export async function uncover(folder: string): Promise<void> {
  await runCommand('umount', ['--lazy', folder])
}

/** Writes files into `ballast` until the file system has no room, or no inode, left. */
export async function fillDisk(ballast: string, what: 'bytes' | 'inodes'): Promise<void> {
  await mkdir(ballast)
  const content = what === 'bytes' ? Buffer.alloc(4_096) : Buffer.alloc(0)
  for (let index = 0; ; index += 1) {
    try {
      await appendFile(join(ballast, what === 'bytes' ? 'ballast' : String(index)), content)
    } catch (error) {
      if (errorCode(error) === 'ENOSPC') return
      throw error
    }
  }
}

/** Why no file system can be mounted here; undefined when it can. */
export async function whyNoMount(): Promise<string | undefined> {
  await using folder = await tempFolder()
  try {
    await using _ = await mountSmallDisk(folder.path)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
