import { statfs } from 'node:fs/promises'

import { AgentError } from '../lib/errors.ts'

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
  override readonly name = 'NoRoomError'
  readonly code = 'ENOSPC'
}

/** Throws a NoRoomError, with the numbers, unless what is still to be written fits and leaves enough. */
export async function checkFreeSpace({ folder, neededBytes, minFreeBytes }: SpaceNeed): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes - neededBytes >= minFreeBytes) return
  throw new NoRoomError(
    `no space is left for artifacts in ${folder}: ${neededBytes} bytes are to be fetched, ${freeBytes} are free, and ` +
      `${minFreeBytes} have to stay free`,
    {
      hint:
        'free space on this file system, publish a smaller release, or lower downloads.minFreeBytes; the installed ' +
        'release stays until then',
    },
  )
}
