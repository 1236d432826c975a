import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { isJsonObject, pathText, type JsonObject } from '../../../agent/lib/json-object.ts'
import { composePatches, mergePatch, patchBetween } from '../../../agent/lib/merge-patch.ts'

/** RFC 7396, appendix A: original, patch, result. */
const examples: readonly (readonly [string, string, string])[] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', 'null', 'null'],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
]

/** Few names, so that the two patches meet. */
const names = fc.constantFrom('a', 'b', 'toString')
const { object: objects } = fc.letrec<{ value: unknown; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, 1, 'x', true),
    fc.array(fc.constantFrom(1, null), { maxLength: 2 }),
    tie('object'),
  ),
  object: fc.dictionary(names, tie('value'), { maxKeys: 3, noNullPrototype: true }),
}))

describe('a merge patch', () => {
  it.each(examples)('makes of %s, patched with %s, what RFC 7396 says: %s', (original, patch, result) => {
    expect(mergePatch(JSON.parse(original), JSON.parse(patch))).toEqual(JSON.parse(result))
  })

  it('leaves the document and the patch as they are', () => {
    fc.assert(
      fc.property(objects, objects, (target, patch) => {
        const before = JSON.stringify([target, patch])
        mergePatch(target, patch)
        expect(JSON.stringify([target, patch])).toBe(before)
      }),
    )
  })

  it('gives nothing a prototype of the patch', () => {
    const merged = mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}'))
    expect(Reflect.get(Object(merged), 'polluted')).toBe(undefined)
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype)
  })
})

describe('two patches made one', () => {
  it('do what both do in turn, or are refused at a path where they cannot', () => {
    let composed = 0
    let refused = 0
    fc.assert(
      fc.property(objects, objects, objects, (target, first, second) => {
        const composition = composePatches(target, first, second)
        const inTurn = mergePatch(mergePatch(target, first), second)
        if (composition.kind === 'composed') {
          composed += 1
          expect(mergePatch(target, composition.patch)).toEqual(inTurn)
        } else {
          refused += 1
          expect(pathText(composition.path)).not.toBe('')
        }
      }),
      { numRuns: 5_000 },
    )
    expect(composed).toBeGreaterThan(100)
    expect(refused).toBeGreaterThan(5)
  })

  it('still remove what the first removed', () => {
    const { patch } = composed({ a: { b: 1 } }, { a: { b: null } }, { c: 2 })
    expect(patch).toEqual({ a: { b: null }, c: 2 })
  })

  it('remove with the second what the first had set', () => {
    expect(composed({}, { a: { b: 1, c: 2 } }, { a: { b: null } }).patch).toEqual({ a: { b: null, c: 2 } })
  })

  it('are refused where an object would have to take the place of another', () => {
    const composition = composePatches({ logs: { level: 'info' } }, { logs: null }, { logs: { flushSeconds: 5 } })
    expect(composition).toEqual({ kind: 'impossible', path: ['logs', 'level'] })
  })
})

describe('a patch between two documents', () => {
  /** Null cannot be set by a merge patch; patching nothing with a document takes it out. */
  const documents = objects.map((object) => Object(mergePatch({}, object)) as JsonObject)

  it('makes the second of the first', () => {
    fc.assert(
      fc.property(documents, documents, (from, to) => {
        expect(mergePatch(from, patchBetween(from, to))).toEqual(to)
      }),
      { numRuns: 5_000 },
    )
  })

  it('is empty between a document and itself', () => {
    fc.assert(
      fc.property(documents, (document) => {
        expect(patchBetween(document, structuredClone(document))).toEqual({})
      }),
    )
  })

  it('names what changed alone, and what vanished with null', () => {
    const from = { same: 1, deep: { same: 1, changed: 1, gone: 1 }, list: [1, 2], gone: { a: 1 } }
    const to = { same: 1, deep: { same: 1, changed: 2, added: 1 }, list: [1, 3] }
    expect(patchBetween(from, to)).toEqual({ deep: { changed: 2, gone: null, added: 1 }, list: [1, 3], gone: null })
  })
})

function composed(target: JsonObject, first: JsonObject, second: JsonObject): { readonly patch: JsonObject } {
  const composition = composePatches(target, first, second)
  if (composition.kind !== 'composed' || !isJsonObject(composition.patch)) throw new Error('they do not compose')
  return composition
}
