import { constants, type BigIntStats } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'

import { errorCode } from '../../lib/errors.ts'
import { keepDescriptorReserve } from './descriptor-reserve.ts'
import { fileIdOf, hasHead, isSameFile, msOf, readHead } from './file-identity.ts'
import { FollowedFile } from './followed-file.ts'
import type { LineFormat } from '../events/line-format.ts'
import type { LogCursor } from '../log-cursors.ts'
import { WrittenClock } from './written-clock.ts'

export interface FollowedFileOptions {
  /** The path that the file's lines are told under; it may have been renamed since. */
  readonly path: string
  /** Where to open it. Default: `path`. */
  readonly location?: string
  /** Only this file: rotation may have put another one there. Default: whichever. */
  readonly fileId?: string
  /** Where to go on. Default: at the first byte. */
  readonly cursor?: LogCursor
  /** Of the file that it is a copy of. Default: it is watched from now on. */
  readonly writtenClock?: WrittenClock
  readonly format: LineFormat
}

const lineFeed = 0x0a
const futureMs = 3_600_000

/**
 * Opens a file, never waiting for a writer. Answers undefined when it is not there, not a regular file, not the one with
 * `fileId`, or, with a cursor, neither the file that the cursor is about nor a copy of it. Throws the file system's error, and an
 * AgentError while too few descriptors are left.
 */
export async function openFollowedFile(options: FollowedFileOptions): Promise<FollowedFile | undefined> {
  const { path, location = path, cursor, format } = options
  const handle = await openIfThere(location)
  if (handle === undefined) return undefined
  try {
    await keepDescriptorReserve()
    const stats = await handle.stat({ bigint: true })
    const isMeant = stats.isFile() && (options.fileId === undefined || options.fileId === fileIdOf(stats))
    if (isMeant && (cursor === undefined || (await fitsCursor(handle, stats, cursor)))) {
      const positionBytes = cursor?.positionBytes ?? 0
      return new FollowedFile({
        path,
        handle,
        fileId: fileIdOf(stats),
        seen: stats,
        head: await readHead(handle),
        positionBytes,
        isMidLine: positionBytes > 0 && (await readByte(handle, positionBytes - 1)) !== lineFeed,
        writtenClock: options.writtenClock ?? writtenClockOf(stats, cursor),
        format,
      })
    }
  } catch (error) {
    await handle.close()
    throw error
  }
  await handle.close()
  return undefined
}

/** Opens a file if it is there. Throws the file system's error. */
async function openIfThere(location: string): Promise<FileHandle | undefined> {
  try {
    return await open(location, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENXIO'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

/** Of a regular file, if there is one. Throws the file system's error. */
export async function statIfThere(path: string): Promise<BigIntStats | undefined> {
  try {
    const stats = await stat(path, { bigint: true })
    return stats.isFile() ? stats : undefined
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

/** Whether what is at a path is a copy of a followed file, so that nothing in it is new. Throws the file system's error. */
export async function isCopyOfAny(path: string, originals: readonly FollowedFile[]): Promise<boolean> {
  if (originals.length === 0) return false
  await using handle = await openIfThere(path)
  if (handle === undefined) return false
  for (const original of originals) if (await original.isCopiedTo(handle)) return true
  return false
}

/** The same inode with another birth is another file, though both may begin alike. */
async function fitsCursor(handle: FileHandle, stats: BigIntStats, cursor: LogCursor): Promise<boolean> {
  const { fileId, positionBytes } = cursor
  if (fileId === fileIdOf(stats) && !isSameFile(stats, cursor)) return false
  return Number(stats.size) >= positionBytes && (await hasHead(handle, cursor))
}

function writtenClockOf(stats: BigIntStats, cursor: LogCursor | undefined): WrittenClock {
  return new WrittenClock({ freshFromBytes: freshFrom(stats, cursor), sizeBytes: Number(stats.size) })
}

/** A file that was made since this process started was written since; one from the future was made under another clock. */
function freshFrom(stats: BigIntStats, cursor: LogCursor | undefined): number {
  const isCopy = cursor !== undefined && cursor.fileId !== fileIdOf(stats)
  const born = msOf(stats.birthtimeNs)
  const isNew = born >= Math.floor(performance.timeOrigin) && born <= Date.now() + futureMs
  return isNew && !isCopy ? 0 : Number(stats.size)
}

async function readByte(handle: FileHandle, atBytes: number): Promise<number | undefined> {
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(1), 0, 1, atBytes)
  return bytesRead === 0 ? undefined : buffer[0]
}
