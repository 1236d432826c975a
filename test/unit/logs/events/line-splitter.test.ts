import fc from 'fast-check'
import { expect, test } from 'vitest'

import { LineSplitter, type Line } from '../../../../agent/logs/events/line-splitter.ts'
import { anyBytes, chunksOf } from '../log-bytes.ts'

const maxLineBytes = 64

test('makes the same lines and positions however the bytes are cut', () => {
  fc.assert(
    fc.property(anyBytes, fc.array(fc.nat(90), { maxLength: 20 }), (all, cuts) => {
      expect(split(chunksOf(all, cuts))).toEqual(split([all]))
    }),
  )
})

test('crashes on no input, makes printable lines within the bound and passes every byte once', () => {
  fc.assert(
    fc.property(anyBytes, (all) => {
      const { lines, positionBytes } = split([all])
      expect(positionBytes).toBe(100 + all.length)
      let last = 100
      for (const { text, textBytes, startBytes, endBytes } of lines) {
        // eslint-disable-next-line no-control-regex
        expect(text).not.toMatch(/^$|[\0-\x08\n-\x1f\x7f-\x9f]/)
        expect(text.isWellFormed()).toBe(true)
        expect(textBytes).toBe(Buffer.byteLength(text))
        expect(textBytes).toBeLessThanOrEqual(maxLineBytes)
        expect(startBytes).toBeGreaterThanOrEqual(last)
        expect(endBytes).toBeGreaterThan(startBytes)
        last = endBytes
      }
      expect(last).toBeLessThanOrEqual(positionBytes)
    }),
  )
})

test('keeps all text of long lines, split between characters and marked', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }).filter((text) => !/\p{Cc}/u.test(text)),
      (text) => {
        const { lines } = split([Buffer.from(`${text}\n`)])
        expect(lines.map(unmarked).join('')).toBe(text)
      },
    ),
  )
})

test('leaves a line whole that is as long as it may be, with either line break', () => {
  const line = 'x'.repeat(maxLineBytes)
  for (const chunks of [[line, '\n'], [`${line}\n`], [`${line}\r\n`], [`${line}\r`, '\n'], [line, '\r', '\n']]) {
    expect(split(chunks.map((chunk) => Buffer.from(chunk))).lines.map(({ text }) => text)).toEqual([line])
  }
})

test('marks the pieces of a line that is too long', () => {
  const { lines } = split([Buffer.from(`${'x'.repeat(100)}\nnext\n`)])
  expect(lines.map(({ text }) => text)).toEqual([
    `${'x'.repeat(50)}\u2026[continues]`,
    `[continued]\u2026${'x'.repeat(50)}`,
    'next',
  ])
  expect(lines.map(({ startBytes, endBytes }) => [startBytes, endBytes])).toEqual([
    [100, 150],
    [150, 201],
    [201, 206],
  ])
})

test('marks what follows when it begins to read in the middle of a line', () => {
  const splitter = new LineSplitter({ positionBytes: 7, isMidLine: true, maxLineBytes })
  expect(pushed(splitter, Buffer.from('rest\nnext\n')).map(({ text }) => text)).toEqual([
    '[continued]\u2026rest',
    'next',
  ])
})

test('holds back a line without a break, and its position with it', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes })
  expect(pushed(splitter, Buffer.from('one\ntw'))).toMatchObject([{ text: 'one', startBytes: 0, endBytes: 4 }])
  expect([splitter.positionBytes, splitter.pendingBytes]).toEqual([4, 2])
  expect(pushed(splitter, Buffer.from('o\r\n'))).toMatchObject([{ text: 'two', startBytes: 4, endBytes: 9 }])
})

test('moves over empty lines without making any', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes })
  expect(pushed(splitter, Buffer.from('\n\r\n\n'))).toEqual([])
  expect(splitter.positionBytes).toBe(4)
})

test('shows NUL, other control characters and what is not UTF-8, and leaves tabs', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes })
  const [line] = pushed(splitter, Buffer.from([0x61, 0x00, 0xff, 0x09, 0x1b, 0x7f, 0xc2, 0x9b, 0x0d, 0x62, 0x0a]))
  expect(line).toMatchObject({ text: 'a\u2400\uFFFD\t\u241B\u2421\uFFFD\u240Db', endBytes: 11 })
})

test('shows a hole in a file as its length', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes: 1_000_000 })
  const [line] = pushed(splitter, Buffer.from(`${'\0'.repeat(100_000)}after\n`))
  expect(line).toMatchObject({ text: '\u2400(100000 times)after', endBytes: 100_006 })
})

test('ends a pending line before the character that is not complete, and marks what comes after', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes })
  pushed(splitter, Buffer.from([0x61, 0xe2, 0x82]))
  expect(flushed(splitter)).toMatchObject([{ text: 'a', endBytes: 1 }])
  expect(pushed(splitter, Buffer.from([0xac, 0x0a]))).toMatchObject([{ text: '[continued]\u2026\u20AC', endBytes: 5 }])
})

test('makes nothing of the line break that comes after a line was ended without it', () => {
  const splitter = new LineSplitter({ positionBytes: 0, maxLineBytes })
  pushed(splitter, Buffer.from('half'))
  flushed(splitter)
  expect(flushed(splitter)).toEqual([])
  expect(pushed(splitter, Buffer.from('\nnext\n'))).toMatchObject([{ text: 'next', endBytes: 10 }])
})

function unmarked({ text, isCut, isRest }: Line): string {
  return text.slice(isRest ? '[continued]\u2026'.length : 0, isCut ? -'\u2026[continues]'.length : undefined)
}

function split(chunks: readonly Uint8Array[]): { lines: readonly Line[]; positionBytes: number } {
  const splitter = new LineSplitter({ positionBytes: 100, maxLineBytes })
  const lines = chunks.flatMap((chunk) => pushed(splitter, chunk))
  while (splitter.pendingBytes > 0) lines.push(...flushed(splitter))
  return { lines, positionBytes: splitter.positionBytes }
}

/** The bytes are overwritten at once, as a buffer that is used again. */
function pushed(splitter: LineSplitter, bytes: Uint8Array): Line[] {
  const lines: Line[] = []
  const lent = Uint8Array.from(bytes)
  splitter.push(lent, (line) => lines.push(line))
  lent.fill(0x58)
  return lines
}

function flushed(splitter: LineSplitter): Line[] {
  const lines: Line[] = []
  splitter.flush((line) => lines.push(line))
  return lines
}
