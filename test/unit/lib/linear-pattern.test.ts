import { expect, test } from 'vitest'

import { linearPattern } from '../../../agent/lib/linear-pattern.ts'

test('matches what the expression does', () => {
  const pattern = linearPattern('^\\d{4}-\\d{2}-\\d{2} |^(?:INFO|WARN)\\b')
  expect(pattern.test('2023-02-14 11:53:09')).toBe(true)
  expect(pattern.test('WARN text')).toBe(true)
  expect(pattern.test('    at foo')).toBe(false)
})

// Each of them would take longer than the age of the universe by backtracking.
test.for(['^(a+)+$', '^(a|a)*$', '^(\\w*)*x$', '(a+a+)+b'])('comes to an end with %s', (source) => {
  expect(linearPattern(source).test(`${'a'.repeat(1_000)}!`)).toBe(false)
})

test.for(['(', '^(?=a)b', '(a)\\1', '(a{1,30}){1,30}', 'a{1,900}'])('refuses %s', (source) => {
  expect(() => linearPattern(source)).toThrow(SyntaxError)
})
