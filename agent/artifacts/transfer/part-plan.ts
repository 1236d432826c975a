import type { ByteRange } from '../artifact-source.ts'

export interface ObjectSizes {
  /** Objects over this size are fetched in parts. */
  readonly largeObjectBytes: number
  readonly partBytes: number
}

const largeObjectBytes = 16 * 1024 * 1024
const partBytes = 8 * 1024 * 1024
/** Smaller ones would cost more in requests than they save in what is in flight. */
const smallestPartBytes = 1024 * 1024

/** Parts of 8 MiB for objects over 16 MiB, or less of both where no more than `requestBytes` can be asked for at once. */
export function sizesWithin(requestBytes: number): ObjectSizes {
  const maxBytes = Math.max(smallestPartBytes, requestBytes)
  return { largeObjectBytes: Math.min(largeObjectBytes, maxBytes), partBytes: Math.min(partBytes, maxBytes) }
}

/** Parts that cover an object of `sizeBytes` without a gap, in order, all of `maxBytes` but the last. */
export function planParts(sizeBytes: number, maxBytes: number = partBytes): readonly ByteRange[] {
  return Array.from({ length: Math.ceil(sizeBytes / maxBytes) }, (_, index) => ({
    start: index * maxBytes,
    end: Math.min(sizeBytes, (index + 1) * maxBytes),
  }))
}
