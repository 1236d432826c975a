import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

/** The first bytes of a file: they tell a new file on an old inode from the old one. */
export interface FileHead {
  readonly headBytes: number
  readonly headSha256: string
}

export const maxHeadBytes = 1_024

/** `<device>:<inode>`: the same through renames, but used again after a deletion. */
export function fileIdOf(stats: BigIntStats): string {
  return `${stats.dev.toString()}:${stats.ino.toString()}`
}

/** Whether it is the file that had this id and birth: the inode of one that is gone may be another file's. Births of 0 are not known. */
export function isSameFile(
  stats: BigIntStats,
  { fileId, bornMs = 0 }: { readonly fileId: string; readonly bornMs?: number | undefined },
): boolean {
  const born = msOf(stats.birthtimeNs)
  return fileId === fileIdOf(stats) && (bornMs === 0 || born === 0 || bornMs === born)
}

export function msOf(ns: bigint): number {
  return Number(ns / 1_000_000n)
}

/** The digest of the first `maxBytes` bytes, or of those at `atBytes`; of fewer when there are not so many. */
export async function readHead(
  handle: FileHandle,
  { maxBytes = maxHeadBytes, atBytes = 0 }: { readonly maxBytes?: number; readonly atBytes?: number } = {},
): Promise<FileHead> {
  const buffer = Buffer.alloc(maxBytes)
  const { bytesRead } = maxBytes === 0 ? { bytesRead: 0 } : await handle.read(buffer, 0, maxBytes, atBytes)
  const headSha256 = createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex')
  return { headBytes: bytesRead, headSha256 }
}

/** Whether the file starts with these first bytes, or has them at `atBytes`. */
export async function hasHead(handle: FileHandle, head: FileHead, atBytes = 0): Promise<boolean> {
  return (await readHead(handle, { maxBytes: head.headBytes, atBytes })).headSha256 === head.headSha256
}
