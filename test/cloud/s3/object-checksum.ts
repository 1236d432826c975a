import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc'

export const checksumAlgorithms = ['CRC64NVME', 'CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const

export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number]

export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE'

/** As in `x-amz-checksum-{algorithm}` and `x-amz-checksum-type`: base64, with `-N` behind a composite of N parts. */
export interface ObjectChecksum {
  readonly algorithm: ChecksumAlgorithm
  readonly type: ChecksumType
  readonly value: string
}

/**
 * The types that an object put in parts may have, the default first ("Checking object integrity in Amazon S3", "Full object
 * and composite checksum types"): a CRC64NVME is always of the whole object, a SHA never is.
 */
export const multipartTypes: Readonly<Record<ChecksumAlgorithm, readonly [ChecksumType, ...ChecksumType[]]>> = {
  CRC64NVME: ['FULL_OBJECT'],
  CRC32: ['COMPOSITE', 'FULL_OBJECT'],
  CRC32C: ['COMPOSITE', 'FULL_OBJECT'],
  SHA1: ['COMPOSITE'],
  SHA256: ['COMPOSITE'],
}

export interface ChecksumOptions {
  readonly algorithm: ChecksumAlgorithm
  readonly multipart: boolean
  /** Of an object put in parts. */
  readonly type?: ChecksumType | undefined
}

/** The checksum that S3 keeps: of the whole object, or, for one put in parts, of the parts' checksums. */
export async function checksumOf(
  parts: readonly Uint8Array[],
  { algorithm, multipart, type = multipartTypes[algorithm][0] }: ChecksumOptions,
): Promise<ObjectChecksum> {
  if (!multipart || type === 'FULL_OBJECT') {
    return { algorithm, type: 'FULL_OBJECT', value: (await digest(parts, algorithm)).toString('base64') }
  }
  const ofParts = await Promise.all(parts.map((part) => digest([part], algorithm)))
  const value = (await digest(ofParts, algorithm)).toString('base64')
  return { algorithm, type: 'COMPOSITE', value: `${value}-${parts.length}` }
}

/**
 * The ETag with its quotes (Object, "ETag"): the MD5 of a single put, `MD5-of-MD5s-N` of N parts, and nothing that can
 * be computed from the content under a KMS key.
 */
export function etagOf(
  parts: readonly Uint8Array[],
  { multipart, encrypted }: { readonly multipart: boolean; readonly encrypted: boolean },
): string {
  const suffix = multipart ? `-${parts.length}` : ''
  if (encrypted) return `"${randomBytes(16).toString('hex')}${suffix}"`
  const hashed = multipart ? parts.map((part) => createHash('md5').update(part).digest()) : parts
  return `"${hashAll('md5', hashed).toString('hex')}${suffix}"`
}

async function digest(parts: readonly Uint8Array[], algorithm: ChecksumAlgorithm): Promise<Buffer> {
  switch (algorithm) {
    case 'CRC64NVME':
    case 'CRC32C': {
      const checksum = algorithm === 'CRC32C' ? new Crc32c() : new Crc64Nvme()
      for (const part of parts) checksum.update(part)
      return Buffer.from(await checksum.digest())
    }
    case 'CRC32': {
      const checksum = Buffer.alloc(4)
      checksum.writeUInt32BE(parts.reduce((value, part) => crc32(part, value), 0))
      return checksum
    }
    case 'SHA1':
      return hashAll('sha1', parts)
    case 'SHA256':
      return hashAll('sha256', parts)
  }
}

function hashAll(algorithm: 'md5' | 'sha1' | 'sha256', parts: readonly Uint8Array[]): Buffer {
  const hash = createHash(algorithm)
  for (const part of parts) hash.update(part)
  return hash.digest()
}
