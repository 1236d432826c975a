import { randomBytes } from 'node:crypto'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export interface AtomicFileOptions {
  /** Permission bits, set explicitly so that the umask has no say. */
  readonly mode: number
}

/**
 * Replaces `path` with `content` so that a reader, and a boot after a power cut, sees the old bytes or the new ones
 * and nothing else: temporary file in the same folder, fsync, rename, fsync of the folder. Throws the file system's
 * error and leaves no temporary file behind.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  { mode }: AtomicFileOptions,
): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await using file = await openForWriting(temporary)
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Makes the names in a folder (creations, renames, removals) survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function openForWriting(path: string): Promise<FileHandle & AsyncDisposable> {
  return await open(path, 'wx', 0o600)
}
