import { isAscii } from 'node:buffer'

/** What `printableText` has to change: controls but tab and line feed, and what is not Unicode. */
// eslint-disable-next-line no-control-regex
const unprintable = /[\0-\x08\x0b-\x1f\x7f-\x9f]/
// eslint-disable-next-line no-control-regex
const unprintables = /\0{16,}|[\0-\x08\x0b-\x1f\x7f-\x9f]/g

const lineFeed = 0x0a
const stepWords = 4
const stepBytes = stepWords * 4

/**
 * Text that CloudWatch Logs, JSON and terminals can carry. Control characters other than tab and line feed become their
 * symbols (U+2400 to U+2421), those of ISO 8859 and lone surrogates the replacement mark. A run of 16 NULs or more, as
 * a hole in a file is read, becomes one symbol with its length.
 */
export function printableText(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed()
  return unprintable.test(wellFormed) ? wellFormed.replaceAll(unprintables, symbolOf) : wellFormed
}

/** Whether bytes are ASCII without control characters other than tab and line feed: text as they are, one byte each. */
export function isPlainText(bytes: Uint8Array): boolean {
  return bytes.length < 512 ? isPlainRange(bytes, 0, bytes.length) : isAscii(bytes) && hasNoControls(bytes)
}

/**
 * Notes where the line feeds are, and answers how many; -1 where the bytes are no plain text, or the line feeds more
 * than `breaks` has room for.
 */
export function findLineBreaks(bytes: Uint8Array, breaks: Int32Array): number {
  if (!isAscii(bytes)) return -1
  const shift = Math.min(bytes.length, -bytes.byteOffset & 3)
  const words = wordsOf(bytes, shift)
  let found = 0
  for (let at = 0; at < bytes.length;) {
    if (at >= shift) at = shift + skipPlain(words, (at - shift) >> 2) * 4
    const end = Math.min(bytes.length, at < shift ? shift : at + stepBytes)
    for (; at < end; at += 1) {
      const byte = bytes[at] ?? 0
      if (byte >= 0x20 && byte !== 0x7f) continue
      if (byte === lineFeed && found < breaks.length) breaks[found++] = at
      else if (byte === lineFeed || isControl(byte)) return -1
    }
  }
  return found
}

/** Whether a part of bytes is ASCII without control characters other than tab and line feed. */
export function isPlainRange(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte >= 0x7f || isControl(byte)) return false
  }
  return true
}

/** How many bytes at the end of `bytes` begin a UTF-8 sequence (RFC 3629) that is not complete yet: 0 to 3. */
export function incompleteTailBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= 3; back += 1) {
    const byte = bytes.at(-back) ?? 0
    if (isContinuation(byte) && back < bytes.length) continue
    return sequenceBytes(byte) > back ? back : 0
  }
  return 0
}

/** The last place at or before `atBytes` that is not inside a UTF-8 sequence; `atBytes` itself in what is not UTF-8. */
export function characterBoundary(bytes: Uint8Array, atBytes: number): number {
  for (let cut = atBytes; cut > 0 && cut > atBytes - 4; cut -= 1) {
    if (!isContinuation(bytes[cut] ?? 0)) return cut
  }
  return atBytes
}

function symbolOf(run: string): string {
  if (run.length > 1) return `\u2400(${run.length} times)`
  const code = run.charCodeAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  return code === 0x7f ? '\u2421' : '\uFFFD'
}

/** Of ASCII. Four bytes at a time: this runs over every byte of every log. */
function hasNoControls(bytes: Uint8Array): boolean {
  const start = Math.min(bytes.length, -bytes.byteOffset & 3)
  const words = wordsOf(bytes, start)
  const end = start + words.length * 4
  if (!isPlainRange(bytes, 0, start) || !isPlainRange(bytes, end, bytes.length)) return false
  // eslint-disable-next-line @typescript-eslint/prefer-for-of -- an iterator allocates a number for every word
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? 0
    if ((controlBits(word) & 0x80808080) === 0) continue
    if (isControl(word & 0xff) || isControl((word >> 8) & 0xff)) return false
    if (isControl((word >> 16) & 0xff) || isControl(word >>> 24)) return false
  }
  return true
}

/** The whole words from a byte on that is at the start of one. */
function wordsOf(bytes: Uint8Array, start: number): Int32Array {
  const count = (bytes.length - start) >> 2
  return count === 0 ? new Int32Array(0) : new Int32Array(bytes.buffer, bytes.byteOffset + start, count)
}

/** The first step from a word on that may have a control character, or the last one. Runs over every byte of every log. */
function skipPlain(words: Int32Array, from: number): number {
  let at = from
  for (; at + stepWords <= words.length; at += stepWords) {
    const first = controlBits(words[at] ?? 0) | controlBits(words[at + 1] ?? 0)
    const second = controlBits(words[at + 2] ?? 0) | controlBits(words[at + 3] ?? 0)
    if (((first | second) & 0x80808080) !== 0) break
  }
  return at
}

/** Of four bytes of ASCII: one below 0x20 borrows, 0x7f carries; either sets a high bit, and no other byte alone does. */
function controlBits(word: number): number {
  return (word - 0x20202020) | (word + 0x01010101)
}

function isControl(byte: number): boolean {
  return (byte < 0x20 && byte !== 0x0a && byte !== 0x09) || byte === 0x7f
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

function sequenceBytes(lead: number): number {
  if (lead >= 0xf0 && lead <= 0xf4) return 4
  if (lead >= 0xe0) return lead <= 0xef ? 3 : 1
  return lead >= 0xc2 ? 2 : 1
}
