import type { ByteRange } from './artifact-source.ts'

/** Objects over this size are fetched in parts. */
export const largeObjectBytes = 16 * 1024 * 1024
export const partBytes = 8 * 1024 * 1024

/** Parts that cover an object of `sizeBytes` without a gap, in order, all of `maxBytes` but the last. */
export function planParts(sizeBytes: number, maxBytes: number = partBytes): readonly ByteRange[] {
  return Array.from({ length: Math.ceil(sizeBytes / maxBytes) }, (_, index) => ({
    start: index * maxBytes,
    end: Math.min(sizeBytes, (index + 1) * maxBytes),
  }))
}
