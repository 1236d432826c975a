import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { cutText, visibleText, wrapText } from '../../../agent/lib/terminal-text.ts'

test('shows what a terminal would obey as escapes, and leaves all else as it is', () => {
  expect(visibleText('plain ü 漢 text')).toBe('plain ü 漢 text')
  expect(visibleText('\u001b[2J\r\n\t\u007f\u009b')).toBe('\\x1b[2J\\x0d\\x0a\\x09\\x7f\\x9b')
  expect(visibleText('\u202e\u2028\ud800')).toBe('\\u{202e}\\u{2028}\\u{d800}')
})

test('lets no control character through, whatever the text is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(visibleText(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
    }),
  )
})

test('breaks lines at blanks, and words only where they are too wide', () => {
  expect(wrapText('one two three', 7)).toEqual(['one two', 'three'])
  expect(wrapText('abcdefgh ij', 3)).toEqual(['abc', 'def', 'gh', 'ij'])
  expect(wrapText('', 10)).toEqual([''])
})

test('loses nothing but blanks at the breaks, and keeps to the width', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 30 }), (text, width) => {
      const lines = wrapText(text, width)
      expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
      for (const line of lines) expect(Array.from(line).length).toBeLessThanOrEqual(width)
    }),
  )
})

test('cuts what is too wide', () => {
  expect(cutText('abcdef', 6)).toBe('abcdef')
  expect(cutText('abcdefg', 6)).toBe('abc...')
  expect(cutText('abc', 2)).toBe('ab')
})
