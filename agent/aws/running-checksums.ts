import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc'

import type { RunningChecksum } from '../artifacts/artifact-source.ts'
import { nativeChecksums } from './native-checksums.ts'

/** The algorithms that can be computed here, the strongest first ("Checking object integrity in Amazon S3"). */
export const checksumAlgorithms = ['SHA512', 'SHA256', 'SHA1', 'CRC64NVME', 'CRC32C', 'CRC32'] as const

export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number]

/** Begins a checksum as S3 writes it: base64 of the digest, a CRC in big-endian order. */
export function beginChecksum(algorithm: ChecksumAlgorithm, loadNative = nativeChecksums): RunningChecksum {
  switch (algorithm) {
    case 'SHA512':
    case 'SHA256':
    case 'SHA1':
      return cryptoHash(algorithm)
    case 'CRC32':
      return crc(crc32)
    case 'CRC32C': {
      const native = loadNative()
      return native === undefined ? sdkChecksum(new Crc32c()) : crc(native.crc32c)
    }
    case 'CRC64NVME': {
      const native = loadNative()
      return native === undefined ? sdkChecksum(new Crc64Nvme()) : crc64(native.crc64nvme)
    }
  }
}

function cryptoHash(algorithm: string): RunningChecksum {
  const hash = createHash(algorithm)
  return {
    update(bytes) {
      hash.update(bytes)
    },
    digest: () => Promise.resolve(hash.digest('base64')),
  }
}

function crc(next: (bytes: Uint8Array, before: number) => number): RunningChecksum {
  let value = 0
  return {
    update(bytes) {
      value = next(bytes, value)
    },
    digest() {
      const digest = Buffer.alloc(4)
      digest.writeUInt32BE(value)
      return Promise.resolve(digest.toString('base64'))
    },
  }
}

function crc64(next: (bytes: Uint8Array, before: DataView | undefined) => DataView): RunningChecksum {
  let value: DataView | undefined
  return {
    update(bytes) {
      value = next(bytes, value)
    },
    digest() {
      const digest = Buffer.alloc(8)
      digest.writeBigUInt64BE(value?.getBigUint64(0) ?? 0n)
      return Promise.resolve(digest.toString('base64'))
    },
  }
}

interface SdkChecksum {
  update(bytes: Uint8Array): void
  digest(): Promise<Uint8Array>
}

function sdkChecksum(checksum: SdkChecksum): RunningChecksum {
  return {
    update(bytes) {
      checksum.update(bytes)
    },
    digest: async () => Buffer.from(await checksum.digest()).toString('base64'),
  }
}
