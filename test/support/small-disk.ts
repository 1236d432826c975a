import { runCommand } from './run-command.ts'
import { tempFolder } from './temp-folder.ts'

/** Mounts a small file system over an empty folder; disposing unmounts it. Needs root. */
export async function mountSmallDisk(folder: string, size = '8m'): Promise<AsyncDisposable> {
  await runCommand('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0755`, 'tmpfs', folder])
  return {
    [Symbol.asyncDispose]: async () => {
      await runCommand('umount', ['--lazy', folder])
    },
  }
}

export async function remountReadOnly(folder: string): Promise<void> {
  await runCommand('mount', ['-o', 'remount,ro', folder])
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
