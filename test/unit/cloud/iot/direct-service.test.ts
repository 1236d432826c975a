import { describe, expect, it } from 'vitest'

import { matchesFilter } from '../../../cloud/iot/direct-service.ts'

describe('a topic filter', () => {
  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['a/b', 'a/+', true],
    ['a/b', '+/+', true],
    ['a', 'a/+', false],
    ['a/b/c', 'a/+', false],
    ['a/b/c', 'a/#', true],
    ['a', 'a/#', true],
    ['ab', 'a/#', false],
    ['a', '#', true],
    ['$aws/a', '#', false],
    ['$aws/a', '+/a', false],
    ['$aws/a/accepted', '$aws/a/+', true],
    ['$aws/a/accepted', '$aws/a/rejected', false],
  ])('on %s: %s matches %s', (topic, filter, matches) => {
    expect(matchesFilter(topic, filter)).toBe(matches)
  })
})
