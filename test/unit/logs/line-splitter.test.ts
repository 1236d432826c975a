import fc from 'fast-check'
import { expect, test } from 'vitest'

import { LineSplitter, type Line } from '../../../agent/logs/line-splitter.ts'

const bytes = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => Buffer.from(text)) },
    { weight: 2, arbitrary: fc.constantFrom('\n', '\r\n', '\n\n', '\0', '\r').map((text) => Buffer.from(text)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }).map((array) => Buffer.from(array)) },
  ),
  { maxLength: 30 },
)

test('makes the same lines and positions however the bytes are cut', () => {
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(60), { maxLength: 20 }), (parts, cuts) => {
      const all = Buffer.concat(parts)
      expect(split(chunksOf(all, cuts))).toEqual(split([all]))
    }),
  )
})

test('crashes on no input, makes printable lines within the bound and passes every byte once', () => {
  fc.assert(
    fc.property(bytes, (parts) => {
      const all = Buffer.concat(parts)
      const { lines, positionBytes } = split([all])
      expect(positionBytes).toBe(100 + all.length)
      let last = 100
      for (const { text, endBytes } of lines) {
        expect(text).not.toMatch(/^$|\0|\n/)
        expect(text.isWellFormed()).toBe(true)
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(16)
        expect(endBytes).toBeGreaterThan(last)
        last = endBytes
      }
      expect(last).toBeLessThanOrEqual(positionBytes)
    }),
  )
})

test('keeps all text of long lines, split between characters', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !/[\r\n\0]/.test(text)),
      (text) => {
        const { lines } = split([Buffer.from(`${text}\n`)])
        expect(lines.map((line) => line.text).join('')).toBe(text)
      },
    ),
  )
})

test('holds back a line without a break, and its position with it', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes: 100 })
  expect(splitter.push(Buffer.from('one\ntw'))).toEqual([{ text: 'one', endBytes: 4 }])
  expect([splitter.positionBytes, splitter.pendingBytes]).toEqual([4, 2])
  expect(splitter.push(Buffer.from('o\r\n'))).toEqual([{ text: 'two', endBytes: 9 }])
})

test('moves over empty lines without making any', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes: 100 })
  expect(splitter.push(Buffer.from('\n\r\n\n'))).toEqual([])
  expect(splitter.positionBytes).toBe(4)
})

test('shows NUL and what is not UTF-8', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes: 100 })
  const [line] = splitter.push(Buffer.from([0x61, 0x00, 0xff, 0x62, 0x0a]))
  expect(line).toEqual({ text: 'a\u2400\uFFFDb', endBytes: 5 })
})

test('ends a pending line before the character that is not complete', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes: 100 })
  splitter.push(Buffer.from([0x61, 0xe2, 0x82]))
  expect(splitter.flush()).toEqual([{ text: 'a', endBytes: 1 }])
  expect(splitter.push(Buffer.from([0xac, 0x0a]))).toEqual([{ text: '\u20AC', endBytes: 5 }])
})

function split(chunks: readonly Uint8Array[]): { lines: readonly Line[]; positionBytes: number } {
  const splitter = new LineSplitter({ positionBytes: 100, maxLineBytes: 16 })
  const lines = chunks.flatMap((chunk) => splitter.push(chunk))
  while (splitter.pendingBytes > 0) lines.push(...splitter.flush())
  return { lines, positionBytes: splitter.positionBytes }
}

function chunksOf(all: Buffer, cuts: readonly number[]): readonly Uint8Array[] {
  const chunks = []
  let start = 0
  for (const length of cuts) {
    chunks.push(all.subarray(start, start + length))
    start += length
  }
  return [...chunks, all.subarray(start)]
}
