import fc from 'fast-check'
import { expect, test } from 'vitest'

import { RtspFault } from '../../../../agent/cameras/rtsp/rtsp-fault.ts'
import { RtspReader } from '../../../../agent/cameras/rtsp/rtsp-reader.ts'

const ok = 'RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n'

test('reads an answer as soon as its head is whole, also byte by byte', () => {
  const reader = new RtspReader()
  const bytes = Buffer.from(
    'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: a\r\nwww-AUTHENTICATE:b \r\n\r\n',
  )
  for (const byte of bytes.subarray(0, -1)) {
    reader.push(Buffer.from([byte]))
    expect(reader.next()).toBeUndefined()
  }
  reader.push(bytes.subarray(-1))
  const answer = reader.next()
  expect(answer).toMatchObject({ status: 401, cseq: 1 })
  expect(answer?.header('www-authenticate')).toEqual(['a', 'b'])
  expect(answer?.header('location')).toEqual([])
})

test.for([
  ['an interleaved frame', Buffer.from([0x24, 0, 0, 3, 0x0d, 0x0a, 0x24])],
  ['an empty interleaved frame', Buffer.from([0x24, 1, 0, 0])],
  ['empty lines', '\r\n\n\r\n'],
  ['a request of the camera', 'OPTIONS rtsp://cam/ RTSP/1.0\r\nCSeq: 9\r\n\r\n'],
  ['a request of the camera with a body', 'SET_PARAMETER * RTSP/1.0\r\nContent-Length: 3\r\n\r\nRTS'],
] as const)('skips %s', ([, before]) => {
  for (const size of [1, 1000]) expect(read(Buffer.concat([Buffer.from(before), Buffer.from(ok)]), size)).toEqual([200])
})

test.for([
  ['lines that end with a line feed alone', 'RTSP/1.0 200 OK\nCSeq: 1\n\n', [200]],
  ['an answer without a reason', 'RTSP/1.0 200\r\n\r\n', [200]],
  ['an answer of RTSP 2.0', 'RTSP/2.0 505 Version Not Supported\r\n\r\n', [505]],
  ['a body between two answers', `RTSP/1.0 401 No\r\nContent-Length: 8\r\n\r\n\r\n\r\nRTSP${ok}`, [401, 200]],
  ['what is no header', 'RTSP/1.0 200 OK\r\n:\r\nno header\r\n: x\r\nA:\r\n\r\n', [200]],
] as const)('reads %s', ([, text, expected]) => {
  for (const size of [1, 7, 1000]) expect(read(Buffer.from(text), size)).toEqual(expected)
})

test('joins a header that goes on in the next line', () => {
  const reader = new RtspReader()
  reader.push(Buffer.from('RTSP/1.0 401 No\r\nWWW-Authenticate: Digest realm="a",\r\n\t nonce="b"\r\n\r\n'))
  expect(reader.next()?.header('www-authenticate')).toEqual(['Digest realm="a", nonce="b"'])
})

test.for([
  ['65537', true],
  ['65536', false],
  ['-1', true],
  ['many', true],
] as const)('with a body of length %s can read on or not', ([length, isOver]) => {
  const reader = new RtspReader()
  reader.push(Buffer.from(`RTSP/1.0 401 No\r\nContent-Length: ${length}\r\n\r\n`))
  expect(reader.next()?.status).toBe(401)
  expect(reader.isOver).toBe(isOver)
  expect(reader.next()).toBeUndefined()
})

test.for([
  ['an answer of a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'not RTSP'],
  ['other words', 'SSH-2.0-dropbear\r\n\r\n', 'not RTSP'],
  ['a status that is none', 'RTSP/1.0 20 OK\r\n\r\n', 'not RTSP'],
  ['a head that does not end', `RTSP/1.0 200 OK\r\n${'a: b\r\n'.repeat(3000)}`, 'longer than 16 KiB'],
  ['a head that is too long', `RTSP/1.0 200 OK\r\nA: ${'b'.repeat(16_384)}\r\n\r\n`, 'longer than 16 KiB'],
  ['a line that does not end', 'x'.repeat(16_385), 'longer than 16 KiB'],
  ['nothing but frames', Buffer.alloc(300_000, Buffer.from([0x24, 0, 0, 0])), 'no answer'],
  ['nothing but empty lines', '\n'.repeat(300_000), 'no answer'],
] as const)('takes %s for what it is', ([, bytes, expected]) => {
  expect(() => read(Buffer.from(bytes), 4096)).toThrow(new RegExp(expected))
})

test('takes 10,000 random answers without crashing, the same however they are cut', () => {
  const line = fc.oneof(
    fc.constantFrom(
      'RTSP/1.0 200 OK',
      'RTSP/1.0 401 No',
      'CSeq: 1',
      'Content-Length: 3',
      ' folded',
      '',
      '$',
      'OPTIONS * RTSP/1.0',
    ),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  )
  const texts = fc.array(line, { maxLength: 8 }).map((lines) => Buffer.from(lines.join('\r\n'), 'latin1'))
  const anything = fc.oneof(
    texts,
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(anything, fc.integer({ min: 1, max: 64 }), (bytes, size) => {
      const pieces = outcome(bytes, size).join()
      return outcome(bytes, bytes.length || 1).join() === pieces
    }),
    { numRuns: 10_000 },
  )
})

function outcome(bytes: Buffer, size: number): readonly (number | string)[] {
  const found: (number | string)[] = []
  try {
    read(bytes, size, found)
  } catch (error) {
    if (!(error instanceof RtspFault)) throw error
    found.push(error.message)
  }
  return found
}

/** The statuses of all answers in what comes in pieces of a size. */
function read(bytes: Buffer, size: number, found: (number | string)[] = []): readonly (number | string)[] {
  const reader = new RtspReader()
  for (let at = 0; at < bytes.length; at += size) {
    reader.push(bytes.subarray(at, at + size))
    for (let answer = reader.next(); answer !== undefined; answer = reader.next()) found.push(answer.status)
  }
  return found
}
