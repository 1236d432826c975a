import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc'

/** A checksum that S3 sent with all the bytes of an object, and the same of what came so far. */
export interface WholeChecksum {
  /** The next bytes, in order; they are good until it returns. */
  readonly update: (bytes: Uint8Array) => void
  /** Throws when it is not the one that was sent. To be called once, after the last byte. */
  readonly check: () => Promise<void>
}

interface Running {
  readonly update: (bytes: Uint8Array) => void
  /** In base64. */
  readonly digest: () => Promise<string>
}

const prefix = 'x-amz-checksum-'

/** By the header that they come in, the quickest first. */
const algorithms: Readonly<Record<string, () => Running>> = {
  crc32: runningCrc32,
  sha1: () => runningHash('sha1'),
  sha256: () => runningHash('sha256'),
  sha512: () => runningHash('sha512'),
  crc32c: () => runningSdkChecksum(new Crc32c()),
  crc64nvme: () => runningSdkChecksum(new Crc64Nvme()),
}

/**
 * What an answer with the whole of an object says to check it by ("Checking object integrity in Amazon S3"). A checksum of
 * the checksums of parts is none of the bytes, and left out. `unknown` when there is one of an algorithm that is not known
 * here alone.
 */
export function wholeChecksum(headers: Readonly<Record<string, string>>): WholeChecksum | 'unknown' | undefined {
  const isComposite = headers[`${prefix}type`] === 'COMPOSITE'
  for (const [name, begin] of Object.entries(algorithms)) {
    const expected = headers[prefix + name]
    if (expected !== undefined && !isComposite && !isOfParts(expected)) return checking(name, expected, begin())
  }
  return Object.keys(headers).some(isOfUnknown) ? 'unknown' : undefined
}

function isOfParts(value: string): boolean {
  return /-[1-9]\d*$/.test(value)
}

function isOfUnknown(header: string): boolean {
  if (!header.startsWith(prefix)) return false
  const name = header.slice(prefix.length)
  return name !== 'type' && !Object.hasOwn(algorithms, name)
}

function checking(name: string, expected: string, running: Running): WholeChecksum {
  return {
    update: running.update,
    async check() {
      const found = await running.digest()
      if (found !== expected) throw new Error(`its ${name} checksum is ${found}, not ${expected} as S3 says`)
    },
  }
}

function runningHash(algorithm: string): Running {
  const hash = createHash(algorithm)
  return {
    update(bytes) {
      hash.update(bytes)
    },
    digest: () => Promise.resolve(hash.digest('base64')),
  }
}

function runningCrc32(): Running {
  let value = 0
  return {
    update(bytes) {
      value = crc32(bytes, value)
    },
    digest() {
      const digest = Buffer.alloc(4)
      digest.writeUInt32BE(value)
      return Promise.resolve(digest.toString('base64'))
    },
  }
}

interface SdkChecksum {
  update(bytes: Uint8Array): void
  digest(): Promise<Uint8Array>
}

function runningSdkChecksum(checksum: SdkChecksum): Running {
  return {
    update(bytes) {
      checksum.update(bytes)
    },
    digest: async () => Buffer.from(await checksum.digest()).toString('base64'),
  }
}
