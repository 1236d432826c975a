import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  opendirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  type Stats,
} from 'node:fs'

/**
 * A folder held open: whatever happens to its path meanwhile, names are looked up in this folder. Node has no openat(2),
 * so they go through /proc/self/fd.
 */
export class FolderHandle implements Disposable {
  readonly #descriptor: number

  /** Throws when the path is no folder; the last part of it is not followed if it is a symlink. */
  constructor(path: string | Buffer) {
    this.#descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  }

  stat(): Stats {
    return fstatSync(this.#descriptor)
  }

  /** The path of an entry, for calls that do not follow its last part. */
  at(name: string | Buffer): Buffer {
    return Buffer.concat([Buffer.from(`/proc/self/fd/${this.#descriptor}/`), Buffer.from(name)])
  }

  /** The names of at most `limit` entries that `isWanted` likes, as bytes: they need not be UTF-8. */
  names(limit: number, isWanted: (name: Buffer) => boolean = () => true): readonly Buffer[] {
    const folder = opendirSync(this.at('.'), { encoding: 'latin1' }) // keeps every byte
    const names: Buffer[] = []
    try {
      for (let entry = folder.readSync(); entry !== null && names.length < limit; entry = folder.readSync()) {
        const name = Buffer.from(entry.name, 'latin1')
        if (isWanted(name)) names.push(name)
      }
    } finally {
      folder.closeSync()
    }
    return names
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor)
  }
}

const deepest = 8
const widest = 1_000

export interface Clearing {
  /** How many entries may still be looked at. What somebody made without end must not hold up whoever clears it away. */
  entriesLeft: number
  /** Where a folder goes that lies too deep: to be discarded from there. */
  readonly top: FolderHandle
}

/**
 * Removes an entry, a folder with what is in it. Somebody else may still change that folder, so nothing is looked up
 * by path, and what is too wide, or more than may be looked at, stays for another time. Answers whether it is gone.
 */
export function discard(folder: FolderHandle, name: string | Buffer, clearing: Clearing): boolean {
  return discardAt({ folder, name, depth: 0 }, clearing)
}

interface Place {
  readonly folder: FolderHandle
  readonly name: string | Buffer
  readonly depth: number
}

function discardAt({ folder, name, depth }: Place, clearing: Clearing): boolean {
  const path = folder.at(name)
  clearing.entriesLeft -= 1
  const unlink = (): void => {
    unlinkSync(path)
  }
  if (isDone(unlink)) return true
  if (clearing.entriesLeft < 0) return false
  if (depth === deepest) {
    return isDone(() => {
      renameSync(path, clearing.top.at(`deep-${randomBytes(8).toString('hex')}`))
    })
  }
  isDone(() => {
    using inner = new FolderHandle(path)
    const entries = inner.names(Math.min(widest, clearing.entriesLeft))
    for (const entry of entries) discardAt({ folder: inner, name: entry, depth: depth + 1 }, clearing)
  })
  return isDone(() => {
    rmdirSync(path)
  })
}

function isDone(action: () => void): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}
