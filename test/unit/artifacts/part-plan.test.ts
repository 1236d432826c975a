import fc from 'fast-check'
import { expect, it } from 'vitest'

import { planParts } from '../../../agent/artifacts/part-plan.ts'

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
