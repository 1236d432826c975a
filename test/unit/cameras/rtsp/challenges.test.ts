import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseChallenges } from '../../../../agent/cameras/rtsp/challenges.ts'

test.for([
  ['Basic realm="a, b=c"', [['basic', { realm: 'a, b=c' }]]],
  ['Basic realm=IP Camera', [['basic', { realm: 'IP Camera' }]]],
  ['DIGEST Realm = "r" ,, NONCE="n"', [['digest', { realm: 'r', nonce: 'n' }]]],
  ['Digest realm="r", realm="s"', [['digest', { realm: 'r' }]]],
  ['Digest realm="", opaque=, nonce="n"', [['digest', { realm: '', opaque: '', nonce: 'n' }]]],
  ['Digest realm="r" nonce="n"', [['digest', { realm: 'r', nonce: 'n' }]]],
  [
    'Negotiate, Basic realm="r", Digest nonce="n"',
    [
      ['negotiate', {}],
      ['basic', { realm: 'r' }],
      ['digest', { nonce: 'n' }],
    ],
  ],
  ['Digest realm="never ended', [['digest', { realm: 'never ended' }]]],
  ['Digest realm="ended by a backslash\\', [['digest', { realm: 'ended by a backslash' }]]],
  [String.raw`Digest realm="\"\\\x"`, [['digest', { realm: '"\\x' }]]],
  ['realm="of nobody"', []],
  ['"(", Basic realm=r', [['basic', { realm: 'r' }]]],
] as const)('reads %j', ([line, expected]) => {
  expect(plain([line])).toEqual(expected)
})

test('reads one challenge after the other over all lines', () => {
  expect(plain(['Basic realm="a"', 'realm="b"', 'Digest nonce="n"'])).toEqual([
    ['basic', { realm: 'a' }],
    ['digest', { nonce: 'n' }],
  ])
})

test('gives back every value that is quoted as the standard says', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), fc.string(), (realm, nonce) => {
      const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`
      const line = `Digest realm=${quote(realm)}, nonce=${quote(nonce)}, qop="auth"`
      expect(plain([line])).toEqual([['digest', { realm, nonce, qop: 'auth' }]])
    }),
  )
})

test('takes any text without throwing', () => {
  const piece = fc.oneof(fc.string(), fc.constantFrom('"', '\\', ',', '=', ' ', 'Digest', 'Basic ', 'realm="'))
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      expect(Array.isArray(parseChallenges([pieces.join('')]))).toBe(true)
    }),
    { numRuns: 1000 },
  )
})

test.for(['a=', '"', ' ', 'a', 'a="', '\\', ',', 'a "\\'])(
  'reads the longest header there can be, all of %j',
  (piece) => {
    expect(plain([piece.repeat(16_384 / piece.length)]).length).toBeLessThan(16_384)
  },
)

function plain(lines: readonly string[]): readonly (readonly [string, Record<string, string>])[] {
  return parseChallenges(lines).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
}
