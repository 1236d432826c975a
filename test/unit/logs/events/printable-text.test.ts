import fc from 'fast-check'
import { expect, test } from 'vitest'

import { findLineBreaks, isPlainText } from '../../../../agent/logs/events/printable-text.ts'

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

test('finds the line feeds of plain text, wherever in memory it is, and says when it is none', () => {
  const place = {
    length: fc.nat(100),
    start: fc.nat(8),
    odd: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
  }
  fc.assert(
    fc.property(fc.record(place), ({ length, start, odd }) => {
      const bytes = Buffer.alloc(length + start, 'plain text, 21 bytes\n').subarray(start)
      for (const [at, byte] of odd) if (length > 0) bytes[at % length] = byte
      const breaks = new Int32Array(100)
      const count = findLineBreaks(bytes, breaks)
      const expected = [...bytes.keys()].filter((at) => bytes[at] === 0x0a)
      expect(count).toBe(isPlainText(bytes) ? expected.length : -1)
      if (count >= 0) expect([...breaks.subarray(0, count)]).toEqual(expected)
    }),
    { numRuns: 2_000 },
  )
})

test('finds no line feeds where there are more than there is room for', () => {
  const bytes = Buffer.alloc(40, 'x\n')
  expect(findLineBreaks(bytes, new Int32Array(20))).toBe(20)
  expect(findLineBreaks(bytes, new Int32Array(19))).toBe(-1)
})
