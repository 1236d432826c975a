import { expect, test } from 'vitest'

import { isSameToken, isToken, newToken } from '../../../agent/credentials/application-token.ts'

test('has 256 bits, another one each time, in characters that need no quotes', () => {
  const tokens = Array.from({ length: 100 }, newToken)
  expect(new Set(tokens).size).toBe(100)
  for (const token of tokens) {
    expect(isToken(token)).toBe(true)
    expect(Buffer.from(token, 'base64url')).toHaveLength(32)
  }
})

test.each(['', 'short', `${'a'.repeat(43)}\n`, 'a'.repeat(44), `${'a'.repeat(42)}=`, `${'a'.repeat(42)} `])(
  'takes %j for no token',
  (text) => {
    expect(isToken(text)).toBe(false)
  },
)

test('is the same as itself alone, whatever length is offered', () => {
  const token = newToken()
  expect(isSameToken(token, token)).toBe(true)
  for (const other of ['', token.slice(1), `${token} `, `Bearer ${token}`, newToken(), 'x'.repeat(8_000)]) {
    expect(isSameToken(other, token)).toBe(false)
  }
})
