import fc from 'fast-check'
import { expect, test } from 'vitest'

import { isPlainText } from '../../../agent/logs/printable-text.ts'

test('knows text that needs no change, wherever in the bytes one byte of another kind is', () => {
  const place = { length: fc.constantFrom(10, 511, 512, 1_000), start: fc.nat(8), at: fc.nat(), byte: fc.nat(255) }
  fc.assert(
    fc.property(fc.record(place), ({ length, start, at, byte }) => {
      const bytes = Buffer.alloc(length + start, 'plain \ttext\n ~').subarray(start)
      expect(isPlainText(bytes)).toBe(true)
      bytes[at % length] = byte
      expect(isPlainText(bytes)).toBe(/^[\t\n\x20-\x7e]$/.test(String.fromCharCode(byte)))
    }),
    { numRuns: 2_000 },
  )
})
