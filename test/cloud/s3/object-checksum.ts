import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { Crc64Nvme } from '@aws-sdk/crc64-nvme'

export type ChecksumAlgorithm = 'CRC64NVME' | 'CRC32' | 'SHA256'

/** As in `x-amz-checksum-{algorithm}` and `x-amz-checksum-type`: base64, with `-N` behind a composite of N parts. */
export interface ObjectChecksum {
  readonly algorithm: ChecksumAlgorithm
  readonly type: 'FULL_OBJECT' | 'COMPOSITE'
  readonly value: string
}

/**
 * The checksum that S3 keeps ("Checking object integrity in Amazon S3"): of the whole object, but for objects put in
 * parts a checksum of the parts' checksums, except with CRC64NVME, which is always of the whole object.
 */
export async function checksumOf(
  parts: readonly Uint8Array[],
  { algorithm, multipart }: { readonly algorithm: ChecksumAlgorithm; readonly multipart: boolean },
): Promise<ObjectChecksum> {
  if (!multipart || algorithm === 'CRC64NVME') {
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
    case 'CRC64NVME': {
      const checksum = new Crc64Nvme()
      for (const part of parts) checksum.update(part)
      return Buffer.from(await checksum.digest())
    }
    case 'CRC32': {
      const checksum = Buffer.alloc(4)
      checksum.writeUInt32BE(parts.reduce((value, part) => crc32(part, value), 0))
      return checksum
    }
    case 'SHA256':
      return hashAll('sha256', parts)
  }
}

function hashAll(algorithm: 'md5' | 'sha256', parts: readonly Uint8Array[]): Buffer {
  const hash = createHash(algorithm)
  for (const part of parts) hash.update(part)
  return hash.digest()
}
