import fc from 'fast-check'
import { expect, it } from 'vitest'

import { planParts, sizesWithin } from '../../../../agent/artifacts/transfer/part-plan.ts'

it('covers an object once, in order, with parts of at most the size that it is told', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 3_000 }), (sizeBytes, maxBytes) => {
      const parts = planParts(sizeBytes, maxBytes)
      let position = 0
      for (const [index, { start, end }] of parts.entries()) {
        expect(start).toBe(position)
        expect(end).toBeGreaterThan(start)
        expect(end - start).toBeLessThanOrEqual(maxBytes)
        if (index < parts.length - 1) expect(end - start).toBe(maxBytes)
        position = end
      }
      expect(position).toBe(sizeBytes)
    }),
  )
})

it('makes parts of 8 MiB', () => {
  expect(planParts(20 * 1024 * 1024).map(({ start, end }) => end - start)).toEqual([8_388_608, 8_388_608, 4_194_304])
})

it.each([
  { share: '32 MiB', requestBytes: 33_554_432, largeObjectBytes: 16_777_216, partBytes: 8_388_608 },
  { share: '10 MiB', requestBytes: 10_485_760, largeObjectBytes: 10_485_760, partBytes: 8_388_608 },
  { share: '3 MiB', requestBytes: 3_145_728, largeObjectBytes: 3_145_728, partBytes: 3_145_728 },
  { share: '40 KiB', requestBytes: 40_960, largeObjectBytes: 1_048_576, partBytes: 1_048_576 },
])(
  'asks for no more at once than a share of $share, down to 1 MiB',
  ({ requestBytes, largeObjectBytes, partBytes }) => {
    expect(sizesWithin(requestBytes)).toEqual({ largeObjectBytes, partBytes })
  },
)
