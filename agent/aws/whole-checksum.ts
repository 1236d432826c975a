import { beginChecksum, type ChecksumAlgorithm } from './running-checksums.ts'

/** A checksum that S3 sent with all the bytes of an object, and the same of what came so far. */
export interface WholeChecksum {
  /** The next bytes, in order; they are good until it returns. */
  readonly update: (bytes: Uint8Array) => void
  /** Throws when it is not the one that was sent. To be called once, after the last byte. */
  readonly check: () => Promise<void>
}

const prefix = 'x-amz-checksum-'

/** By the header that they come in; of several the first is checked, the quickest. */
const algorithms: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  (['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256', 'SHA512'] as const).map((name) => [
    prefix + name.toLowerCase(),
    name,
  ]),
)

/**
 * What an answer with the whole of an object says to check it by ("Checking object integrity in Amazon S3"). A checksum of
 * the checksums of parts is none of the bytes, and left out. So is one of an algorithm that is not known here: the SDK, which
 * knows no more of them, would refuse the object.
 */
export function wholeChecksum(headers: Readonly<Record<string, string>>): WholeChecksum | undefined {
  const isComposite = headers[`${prefix}type`] === 'COMPOSITE'
  for (const [header, algorithm] of algorithms) {
    const expected = headers[header]
    if (expected !== undefined && !isComposite && !isOfParts(expected)) return checking(algorithm, expected)
  }
  return undefined
}

function isOfParts(value: string): boolean {
  return /-[1-9]\d*$/.test(value)
}

function checking(algorithm: ChecksumAlgorithm, expected: string): WholeChecksum {
  const running = beginChecksum(algorithm)
  return {
    update: (bytes) => {
      running.update(bytes)
    },
    async check() {
      const found = await running.digest()
      if (found !== expected) throw new Error(`its ${algorithm} checksum is ${found}, not ${expected} as S3 says`)
    },
  }
}
