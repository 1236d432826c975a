import { expect, test } from 'vitest'

import { BodyPool } from '../../../agent/aws/body-pool.ts'

test('uses the memory of a large body again once it is given back, and not before', () => {
  const pool = new BodyPool()
  const first = pool.take(1_000_000)
  expect(pool.take(1_000_000).buffer).not.toBe(first.buffer)
  pool.giveBack(first.subarray(0, 10))
  const again = pool.take(1_200_000)
  expect(again.buffer).toBe(first.buffer)
  expect(again.length).toBeGreaterThanOrEqual(1_200_000)
})

test.each([10_000, 5_000_000])(
  'keeps no memory of a body of %i bytes, which is as long as it is asked for',
  (bytes) => {
    const pool = new BodyPool()
    const first = pool.take(bytes)
    expect(first.length).toBe(bytes)
    pool.giveBack(first)
    expect(pool.take(bytes).buffer).not.toBe(first.buffer)
    expect(pool.take(1_000_000).buffer).not.toBe(first.buffer)
  },
)

test('keeps two of them, no more', () => {
  const pool = new BodyPool()
  const taken = Array.from({ length: 3 }, () => pool.take(1_000_000))
  for (const body of taken) pool.giveBack(body)
  const again = Array.from({ length: 3 }, () => pool.take(1_000_000).buffer)
  expect(again.filter((buffer) => taken.some((body) => body.buffer === buffer))).toHaveLength(2)
})
