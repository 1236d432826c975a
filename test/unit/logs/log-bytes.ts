import fc from 'fast-check'

/** What log files hold: lines, line breaks of both kinds, NULs, text of any script, and bytes that are no text. */
export const anyBytes: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => Buffer.from(text)) },
      {
        weight: 3,
        arbitrary: fc.constantFrom('\n', '\r\n', '\n\n', '\0', '\r', '\n> ').map((text) => Buffer.from(text)),
      },
      { weight: 1, arbitrary: fc.nat(300).map((length) => Buffer.alloc(length, 'x')) },
      { weight: 1, arbitrary: fc.nat(300).map((length) => Buffer.alloc(length, 0xff)) },
      { weight: 1, arbitrary: fc.nat(40).map((length) => Buffer.alloc(length)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }).map((array) => Buffer.from(array)) },
    ),
    { maxLength: 30 },
  )
  .map((parts) => Buffer.concat(parts))

/** All bytes, in chunks of these lengths and a last one with the rest. */
export function chunksOf(all: Buffer, lengths: readonly number[]): readonly Buffer[] {
  const chunks = []
  let start = 0
  for (const length of lengths) {
    chunks.push(all.subarray(start, start + length))
    start += length
  }
  return [...chunks, all.subarray(start)]
}
