import type { FileHandle } from 'node:fs/promises'

const lineFeed = 0x0a
const chunkBytes = 65_536
const farthestBytes = 1_048_576

/**
 * Where the first line starts at or after a position: behind the first line break from the byte before it on. Where
 * there is none within a megabyte, or before `endBytes`, the position itself.
 */
export async function findLineStart(handle: FileHandle, positionBytes: number, endBytes: number): Promise<number> {
  if (positionBytes <= 0 || positionBytes >= endBytes) return positionBytes
  const buffer = Buffer.allocUnsafe(chunkBytes)
  const lastBytes = Math.min(endBytes, positionBytes + farthestBytes)
  for (let at = positionBytes - 1; at < lastBytes;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) break
    const found = buffer.subarray(0, bytesRead).indexOf(lineFeed)
    if (found >= 0) return Math.min(at + found + 1, endBytes)
    at += bytesRead
  }
  return positionBytes
}
