import { expect, test } from 'vitest'

import { bytesText, countText, durationText } from '../../../agent/lib/quantity-text.ts'

test.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1_000, '1.0 kB'],
  [1_549, '1.5 kB'],
  [9_940, '9.9 kB'],
  [9_960, '10 kB'],
  [999_499, '999 kB'],
  [999_500, '1.0 MB'],
  [2_700_000_000, '2.7 GB'],
  [5e15, '5000 TB'],
])('says %d bytes as %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text)
})

test.each([
  [-5, '0 s'],
  [59, '59 s'],
  [60, '1 min'],
  [3_599, '59 min'],
  [3_600, '1 h'],
  [7_500, '2 h 5 min'],
  [86_400, '1 d'],
  [97_200, '1 d 3 h'],
  [40 * 86_400 + 7_200, '40 d'],
])('says %d seconds as %s', (seconds, text) => {
  expect(durationText(seconds)).toBe(text)
})

test('counts in singular and plural', () => {
  expect([countText(1, 'file'), countText(2, 'file'), countText(0, 'fetch', 'fetches')]).toEqual([
    '1 file',
    '2 files',
    '0 fetches',
  ])
})
