import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseByteRange } from '../../../cloud/s3/byte-range.ts'

test.each([
  ['bytes=0-4', { kind: 'part', start: 0, end: 4 }],
  ['bytes=3-', { kind: 'part', start: 3, end: 9 }],
  ['bytes=-4', { kind: 'part', start: 6, end: 9 }],
  ['bytes=-40', { kind: 'part', start: 0, end: 9 }],
  ['bytes=8-99', { kind: 'part', start: 8, end: 9 }],
  ['bytes=9-9', { kind: 'part', start: 9, end: 9 }],
])('reads %s of ten bytes', (header, expected) => {
  expect(parseByteRange(header, 10)).toEqual(expected)
})

test.each(['bytes=10-', 'bytes=10-12', 'bytes=-0'])('finds nothing for %s in ten bytes', (header) => {
  expect(parseByteRange(header, 10)).toEqual({ kind: 'unsatisfiable' })
})

test.each(['bytes=0-', 'bytes=-1'])('finds nothing for %s in an empty body', (header) => {
  expect(parseByteRange(header, 0)).toEqual({ kind: 'unsatisfiable' })
})

test.each([undefined, '', 'bytes=-', 'bytes=5-4', 'bytes=0-1,3-4', 'items=0-1', 'bytes=a-b'])(
  'ignores the header %j',
  (header) => {
    expect(parseByteRange(header, 10)).toEqual({ kind: 'whole' })
  },
)

test('never leaves the body, whatever the header says', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^bytes=\d{0,6}-\d{0,6}$/), fc.nat(2000), (header, sizeBytes) => {
      const range = parseByteRange(header, sizeBytes)
      if (range.kind !== 'part') return
      expect(range.start).toBeGreaterThanOrEqual(0)
      expect(range.end).toBeGreaterThanOrEqual(range.start)
      expect(range.end).toBeLessThan(sizeBytes)
    }),
  )
})
