import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type PathLike, type Stats } from 'node:fs'

import { maxRequestBytes } from './parse-request.ts'

export interface RequestFile {
  readonly bytes: Uint8Array
  /** When it was written, by the system clock. */
  readonly modifiedMs: number
}

export type FileFault = 'not-a-regular-file' | 'wrong-owner' | 'linked' | 'too-large' | 'unreadable'

/**
 * Reads what was taken out of the agent's reach, once, whatever it is: no symlink is followed, and nothing is waited
 * for. Only a regular file of the agent's with one name and at most 256 bytes is read at all.
 */
export function readRequestFile(path: PathLike, agentUid: number): RequestFile | FileFault {
  try {
    const before = faultOf(lstatSync(path), agentUid) // what is no file is not even opened
    return before ?? readOpened(path, agentUid)
  } catch {
    return 'unreadable'
  }
}

function readOpened(path: PathLike, agentUid: number): RequestFile | FileFault {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants
  const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  try {
    const found = fstatSync(file)
    const fault = faultOf(found, agentUid)
    if (fault !== undefined) return fault
    const buffer = Buffer.alloc(maxRequestBytes + 1)
    const length = readSync(file, buffer, 0, buffer.length, 0)
    if (length > maxRequestBytes) return 'too-large' // the agent may still hold it open, and write
    return { bytes: buffer.subarray(0, length), modifiedMs: found.mtimeMs }
  } finally {
    closeSync(file)
  }
}

function faultOf(found: Stats, agentUid: number): FileFault | undefined {
  if (!found.isFile()) return 'not-a-regular-file'
  if (found.uid !== agentUid) return 'wrong-owner'
  if (found.nlink !== 1) return 'linked'
  return found.size > maxRequestBytes ? 'too-large' : undefined
}
