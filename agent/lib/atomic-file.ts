import { randomBytes } from 'node:crypto'
import { open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { AgentError, errorCode } from './errors.ts'

export interface AtomicFileOptions {
  /** Permission bits, set explicitly so that the umask has no say. */
  readonly mode: number
  /** The group that the file gets. Without privileges, only a group that the process is in. */
  readonly gid?: number
}

/** The temporary name of `writeFileAtomic`. */
const unfinished = /^\.[0-9a-f]{12}\.tmp$/

/** A file could not be written. Names the file itself, never the temporary one, so that repetitions look alike. */
export class WriteError extends AgentError {
  override readonly name = 'WriteError'
  /** The file system's code, such as ENOSPC. */
  readonly code: string

  constructor(path: string, code: string) {
    super(`${path} cannot be written (${code})`, { retryable: true, hint: hintFor(code) })
    this.code = code
  }
}

/**
 * Replaces `path` with `content` so that a reader, and a boot after a power cut, sees the old bytes or the new ones
 * and nothing else: temporary file in the same folder, fsync, rename, fsync of the folder. Throws a WriteError
 * and leaves no temporary file behind.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  { mode, gid }: AtomicFileOptions,
): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await using file = await openForWriting(temporary)
    if (gid !== undefined) await file.chown(-1, gid) // the owner stays
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined) // the first failure is the one to tell
    throw new WriteError(path, errorCode(error) ?? String(error))
  }
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

/**
 * Removes what a crash left behind of files that were being written to this folder. Never rejects: what cannot be removed
 * only takes room. Not to be called while a file is being written there.
 */
export async function removeUnfinished(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter((each) => unfinished.test(each))) {
    await rm(join(folder, name), { force: true }).catch(() => undefined)
  }
}

async function openForWriting(path: string): Promise<FileHandle & AsyncDisposable> {
  return await open(path, 'wx', 0o600)
}

function hintFor(code: string): string {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'free some space on that file system; the agent goes on by itself'
    case 'EROFS':
      return 'that file system is read-only: mount it writable, or look for the fault that made it so'
    case 'EMFILE':
    case 'ENFILE':
      return 'raise LimitNOFILE= of the unit by a drop-in; the agent goes on by itself'
    default:
      return 'let the user that the agent runs as write to that folder'
  }
}
