import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { OrderedHash } from '../../../../agent/artifacts/transfer/ordered-hash.ts'
import { planParts } from '../../../../agent/artifacts/transfer/part-plan.ts'
import { beginChecksum, checksumAlgorithms } from '../../../../agent/aws/running-checksums.ts'
import { sha256, tempFolder } from '../artifact-fixture.ts'

const content = randomBytes(2_500_000)
const parts = planParts(content.byteLength, 400_000)
const orders = {
  'in order': parts,
  'in the reverse order': parts.toReversed(),
  'in no order': [...parts.filter((_, index) => index % 2 === 1), ...parts.filter((_, index) => index % 2 === 0)],
}
const cases = checksumAlgorithms.flatMap((algorithm) =>
  Object.entries(orders).map(([order, ranges]) => ({ algorithm, order, ranges })),
)

it.each(cases)('$algorithm is that of the whole file whose parts come $order', async ({ algorithm, ranges }) => {
  await using folder = await tempFolder()
  await using data = await open(join(folder.path, 'data'), 'wx+')
  const checksum = beginChecksum(algorithm)
  const hash = new OrderedHash(data, { onProgress: () => undefined, checksum })
  for (const range of ranges) {
    // a first half is seen before it is written, as blocks are; the rest is read back
    const middle = (range.start + range.end) >> 1
    hash.update(content.subarray(range.start, middle), range.start)
    await data.write(content, range.start, range.end - range.start, range.start)
    hash.written(range)
  }
  expect(await hash.digest()).toBe(sha256(content))
  const whole = beginChecksum(algorithm)
  whole.update(content)
  expect(await checksum.digest()).toBe(await whole.digest())
})

it('is that of a file whose parts were all there before', async () => {
  await using folder = await tempFolder()
  await using data = await open(join(folder.path, 'data'), 'wx+')
  await data.write(content)
  const checksum = beginChecksum('CRC64NVME')
  let blocks = 0
  const onProgress = (): void => {
    blocks += 1
  }
  const hash = new OrderedHash(data, { onProgress, checksum })
  for (const range of parts) hash.written(range)
  expect(await hash.digest()).toBe(sha256(content))
  const whole = beginChecksum('CRC64NVME')
  whole.update(content)
  expect(await checksum.digest()).toBe(await whole.digest())
  expect(blocks).toBeGreaterThanOrEqual(parts.length)
})
