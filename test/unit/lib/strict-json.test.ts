import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parseStrictJson } from '../../../agent/lib/strict-json.ts'

const bounds = { maxDepth: 16, maxContainers: 1_000 }
const parse = (text: string): unknown => parseStrictJson(text, bounds)

describe('parseStrictJson', () => {
  it('reads whatever JSON.stringify writes within the bounds', () => {
    const value = fc.jsonValue({ maxDepth: 5 }).filter((json) => !JSON.stringify(json).includes('__proto__'))
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (json, indent) => {
        const text = JSON.stringify(json, undefined, indent)
        expect(parse(text)).toEqual(JSON.parse(text))
      }),
    )
  })

  it('throws nothing but a SyntaxError, whatever the text is', () => {
    const text = fc.oneof(fc.string(), fc.array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'a', '1')))
    fc.assert(
      fc.property(text, (input) => {
        try {
          parse(typeof input === 'string' ? input : input.join(''))
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
        }
      }),
    )
  })

  it.each([
    ['a key twice', '{"a":1,"b":{"a":2},"a":3}', 'key "a" twice'],
    ['a key twice, once escaped', '{"a":1,"\\u0061" :2}', 'key "a" twice'],
    ['a key twice behind a string with brackets', '{"a":"}{\\\\\\"","a":3}', 'key "a" twice'],
    ['the key __proto__', '{"x":[{"__proto__":{"executable":true}}]}', '__proto__'],
    ['the key __proto__, escaped', '{"\\u005f_proto__":1}', '__proto__'],
    ['brackets too deep', '['.repeat(17) + ']'.repeat(17), 'more than 16 deep'],
    ['a bomb of brackets', '['.repeat(10_000_000), 'more than 16 deep'],
    ['too many objects', `[${'{},'.repeat(1_000)}{}]`, 'more than 1000 arrays and objects'],
    ['a string without an end', '{"a":"\\', 'JSON'],
  ])('refuses %s', (_, text, why) => {
    expect(() => parse(text)).toThrow(why)
  })

  it('takes equal keys of different objects, and keys that look alike', () => {
    expect(parse('[{"a":1},{"a":"a:"},{"a ":1,"a":["a"]}]')).toEqual([{ a: 1 }, { a: 'a:' }, { 'a ': 1, a: ['a'] }])
  })
})
