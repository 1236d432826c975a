import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs'
import { join } from 'node:path'

/** Whose files are believed: root's, but for tests. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

const maxListBytes = 65_536
const writableByOthers = 0o022
const namePattern = /^[A-Za-z0-9@._:-]{1,128}$/

/**
 * The names in a list file: one a line, `#` starts a comment. Believed only where folder and file belong to `owner` and
 * nobody else may write them; at most 64 KiB.
 */
export function readTrustedList(folder: string, name: string, owner: Owner): ReadonlySet<string> | ListFault {
  if (!isTrustedFolder(folder, owner)) return 'list-not-trusted'
  const path = join(folder, name)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return 'verb-not-allowed'
  if (!isTrustedFile(found, owner)) return 'list-not-trusted'
  const text = readTrustedText(path, owner, maxListBytes)
  if (text === undefined) return 'list-not-trusted'
  const lines = text.split('\n').map((line) => line.replace(/#.*/s, '').trim())
  return new Set(lines.filter((line) => namePattern.test(line)))
}

export type ListFault = 'verb-not-allowed' | 'list-not-trusted'

/** A folder that nobody but `owner` can put anything into or take anything out of. No symlink. */
export function isTrustedFolder(path: string, owner: Owner): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found?.isDirectory() === true && isOwnersAlone(found, owner)
}

/** A regular file that nobody but `owner` can write. No symlink. */
export function isTrustedFile(found: Stats, owner: Owner): boolean {
  return found.isFile() && isOwnersAlone(found, owner)
}

/** The text of a regular file that nobody but `owner` can write; undefined when it is anything else, or longer. */
export function readTrustedText(path: string, owner: Owner, maxBytes: number): string | undefined {
  const file = openOrNone(path)
  if (file === undefined) return undefined
  try {
    const found = fstatSync(file)
    if (!isTrustedFile(found, owner) || found.gid !== owner.gid) return undefined
    const buffer = Buffer.alloc(maxBytes + 1)
    const length = readSync(file, buffer, 0, buffer.length, 0)
    return length > maxBytes ? undefined : buffer.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}

function isOwnersAlone({ uid, mode }: Stats, owner: Owner): boolean {
  return uid === owner.uid && (mode & writableByOthers) === 0
}

function openOrNone(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return undefined // gone, or a symlink
  }
}
