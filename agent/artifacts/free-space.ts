import { lstat, statfs } from 'node:fs/promises'

import { AgentError, errorCode } from '../lib/errors.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'

export interface SpaceNeed {
  /** On the file system that counts. */
  readonly folder: string
  /** What is still to be written. */
  readonly neededBytes: number
  /** What has to stay free for the rest of the appliance. */
  readonly minFreeBytes: number
}

/** What is to be fetched would leave too little free. */
export class NoRoomError extends AgentError {
  override readonly name: string = 'NoRoomError'
  readonly code = 'ENOSPC'
}

/** The same when everything is removed that may go, so that nothing is to be gained by removing it. */
export class NeverFitsError extends NoRoomError {
  override readonly name = 'NeverFitsError'
}

/** As stat(2) counts them. */
const blockBytes = 512
const callsAtATime = 16

/** Throws a NoRoomError, with the numbers, unless what is still to be written fits and leaves enough. */
export async function checkFreeSpace(need: SpaceNeed): Promise<void> {
  const freeBytes = await freeBytesOf(need)
  if (missingBytes(need, freeBytes) <= 0) return
  throw new NoRoomError(describe(need, freeBytes), {
    hint:
      'free space on this file system, publish a smaller release, or lower downloads.minFreeBytes; the installed ' +
      'release stays until then',
  })
}

/** Throws a NeverFitsError, with the numbers, when it would not fit either if everything went that `freeableBytes` counts. */
export async function checkEverFits(need: SpaceNeed, freeableBytes: () => Promise<number>): Promise<void> {
  const freeBytes = await freeBytesOf(need)
  const missing = missingBytes(need, freeBytes)
  if (missing <= 0) return
  const stillMissing = missing - (await freeableBytes())
  if (stillMissing <= 0) return
  throw new NeverFitsError(
    `${describe(need, freeBytes)}; ${stillMissing} bytes would be missing without the older releases too, so they stay`,
    {
      hint:
        `free space on this file system (${stillMissing} bytes are missing), publish a smaller release, or lower downloads.minFreeBytes; ` +
        'what is installed stays until then',
    },
  )
}

/** What removing all of these files would free: a file with a link elsewhere stays. Files that are gone count nothing. */
export async function bytesFreedBy(paths: readonly string[]): Promise<number> {
  const linksLeft = new Map<number, number>()
  let bytes = 0
  await forEachConcurrent(paths, callsAtATime, async (path) => {
    const { ino, nlink, blocks } = await lstat(path).catch(nothingThere)
    const left = (linksLeft.get(ino) ?? nlink) - 1
    linksLeft.set(ino, left)
    if (left === 0) bytes += blocks * blockBytes
  })
  return bytes
}

async function freeBytesOf({ folder }: SpaceNeed): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

function missingBytes({ neededBytes, minFreeBytes }: SpaceNeed, freeBytes: number): number {
  return neededBytes + minFreeBytes - freeBytes
}

function describe({ folder, neededBytes, minFreeBytes }: SpaceNeed, freeBytes: number): string {
  return (
    `no space is left for artifacts in ${folder}: ${neededBytes} bytes are to be fetched, ${freeBytes} are free, and ` +
    `${minFreeBytes} have to stay free`
  )
}

function nothingThere(error: unknown): { readonly ino: number; readonly nlink: number; readonly blocks: number } {
  if (errorCode(error) === 'ENOENT') return { ino: -1, nlink: 0, blocks: 0 }
  throw error
}
