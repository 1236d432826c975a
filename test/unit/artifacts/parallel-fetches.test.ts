import { expect, it } from 'vitest'

import { parallelFetches } from '../../../agent/artifacts/parallel-fetches.ts'

it.each([
  [0, 8],
  [1, 8],
  [8, 8],
  [9, 7],
  [10, 6],
  [33, 1],
  [64, 1],
  [100, 1],
])('gives each of %i artifacts %i fetches at a time', (artifacts, fetches) => {
  expect(parallelFetches(artifacts)).toBe(fetches)
})
