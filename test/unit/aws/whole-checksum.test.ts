import { createHash } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { wholeChecksum } from '../../../agent/aws/whole-checksum.ts'

const bytes = Buffer.from('123456789')

/** The check values of "123456789": the catalogue of CRC algorithms, and FIPS 180-4 by Node. */
const right: Readonly<Record<string, string>> = {
  crc32: base64Of('cbf43926'),
  crc32c: base64Of('e3069283'),
  crc64nvme: base64Of('ae8b14860a799888'),
  sha1: createHash('sha1').update(bytes).digest('base64'),
  sha256: createHash('sha256').update(bytes).digest('base64'),
  sha512: createHash('sha512').update(bytes).digest('base64'),
}

describe('the checksum of a whole object', () => {
  it.each(Object.entries(right))('holds bytes to their %s', async (algorithm, value) => {
    const header = `x-amz-checksum-${algorithm}`
    await expect(checked({ [header]: value }, bytes)).resolves.toBe(true)
    await expect(checked({ [header]: value }, Buffer.from('123456780'))).rejects.toThrow(algorithm.toUpperCase())
  })

  it.each([
    ['no headers', {}],
    ['a checksum of the checksums of parts', { 'x-amz-checksum-sha256': 'YWJj-2' }],
    ['what is said to be one', { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-type': 'COMPOSITE' }],
    ['no checksum but its type', { 'x-amz-checksum-type': 'FULL_OBJECT' }],
  ])('is none for %s', (_, headers) => {
    expect(wholeChecksum(headers)).toBeUndefined()
  })

  it('is none for an unknown algorithm, and the known one beside it', async () => {
    const unknown = { 'x-amz-checksum-xxhash64': 'AAAAAAAAAAA=' }
    expect(wholeChecksum(unknown)).toBeUndefined()
    await expect(checked({ ...unknown, 'x-amz-checksum-crc32': right['crc32'] ?? '' }, bytes)).resolves.toBe(true)
  })
})

async function checked(headers: Readonly<Record<string, string>>, content: Uint8Array): Promise<boolean> {
  const checksum = wholeChecksum(headers)
  if (checksum === undefined) throw new Error('there is no checksum')
  checksum.update(content.subarray(0, 4))
  checksum.update(content.subarray(4))
  await checksum.check()
  return true
}

function base64Of(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64')
}
