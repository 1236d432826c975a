import { expect, test } from 'vitest'

import { canonicalJson, ownField, pathText } from '../../../agent/lib/json-object.ts'

test('the canonical text of a value does not depend on the order of its fields', () => {
  expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}')
  expect(canonicalJson({ a: null, b: [{ c: 2, d: 1 }] })).toBe('{"a":null,"b":[{"c":2,"d":1}]}')
})

test('an object has only the fields that are its own', () => {
  expect(ownField({ a: 1 }, 'a')).toBe(1)
  expect(ownField({ a: 1 }, 'toString')).toBe(undefined)
})

test('a path is written as people write it', () => {
  expect(pathText(['artifacts', 0, 'health', 'hook'])).toBe('artifacts[0].health.hook')
  expect(pathText([])).toBe('')
})
