import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  applyChange,
  deltaOf,
  depthOf,
  pickMetadata,
  type ShadowChange,
  type ShadowDocument,
} from '../../../cloud/iot/shadows/shadow-document.ts'

const empty: ShadowDocument = { state: {}, metadata: {}, version: 0 }
const after = (...changes: readonly ShadowChange[]): ShadowDocument =>
  changes.reduce((shadow, change, index) => applyChange(shadow, change, index + 1), empty)

describe('applyChange', () => {
  it.each<[string, readonly ShadowChange[], ShadowDocument['state']]>([
    [
      'merges objects',
      [{ reported: { a: { b: 1 } } }, { reported: { a: { c: 2 } } }],
      { reported: { a: { b: 1, c: 2 } } },
    ],
    ['replaces arrays', [{ reported: { a: [1, 2] } }, { reported: { a: [3] } }], { reported: { a: [3] } }],
    [
      'replaces a value by an object',
      [{ reported: { a: 1 } }, { reported: { a: { b: 2 } } }],
      { reported: { a: { b: 2 } } },
    ],
    ['removes by null', [{ reported: { a: 1, b: 2 } }, { reported: { a: null } }], { reported: { b: 2 } }],
    [
      'removes deep down',
      [{ reported: { a: { b: 1, c: 2 } } }, { reported: { a: { b: null } } }],
      { reported: { a: { c: 2 } } },
    ],
    [
      'removes a section by null',
      [{ desired: { a: 1 }, reported: { b: 2 } }, { desired: null }],
      { reported: { b: 2 } },
    ],
    ['leaves no empty section', [{ reported: { a: 1 } }, { reported: { a: null } }], {}],
    [
      'keeps what is not named',
      [{ desired: { a: 1 } }, { reported: { a: 2 } }],
      { desired: { a: 1 }, reported: { a: 2 } },
    ],
  ])('%s', (_what, changes, state) => {
    expect(after(...changes).state).toEqual(state)
  })

  it('counts versions', () => {
    expect(after({ reported: { a: 1 } }, { reported: { a: 1 } }).version).toBe(2)
  })

  it('says of each value when it was set', () => {
    const { metadata } = after(
      { reported: { a: 1, b: { c: 1, timestamp: 1 }, list: [1, { d: 1 }] } },
      { reported: { b: { timestamp: 2 } } },
      { reported: { a: { inner: true } } },
    )

    expect(metadata).toEqual({
      reported: {
        a: { inner: { timestamp: 3 } },
        b: { c: { timestamp: 1 }, timestamp: { timestamp: 2 } },
        list: [{ timestamp: 1 }, { d: { timestamp: 1 } }],
      },
    })
  })

  it('keeps metadata in the shape of the state, whatever is merged', () => {
    const json = fc.letrec<{ value: unknown; object: Record<string, unknown> }>((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.string(), fc.constant(null), tie('object')),
      object: fc.dictionary(fc.constantFrom('a', 'b', 'timestamp', '__proto__'), tie('value'), { maxKeys: 3 }),
    })).object
    const shape = (value: unknown): unknown =>
      typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]))
        : 'set'
    const stamps = (value: unknown): unknown => {
      if (typeof value !== 'object' || value === null) return value
      const entries = Object.entries(value)
      if (entries.length === 1 && typeof entries[0]?.[1] === 'number') return 'set'
      return Object.fromEntries(entries.map(([key, inner]) => [key, stamps(inner)]))
    }

    fc.assert(
      fc.property(fc.array(json), (changes) => {
        const { state, metadata } = after(...changes.map((reported) => ({ reported })))
        expect(stamps(metadata)).toEqual(shape(state))
      }),
    )
  })
})

describe('deltaOf', () => {
  it.each([
    [{ a: 1 }, { a: 1 }, undefined],
    [{ a: 1 }, { a: 2 }, { a: 1 }],
    [{ a: 1 }, {}, { a: 1 }],
    [{}, { a: 1 }, undefined],
    [{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, { a: { c: 2 } }],
    [{ a: [1, 2] }, { a: [1, 3] }, { a: [1, 2] }],
    [{ a: [{ b: 1, c: 2 }] }, { a: [{ c: 2, b: 1 }] }, undefined],
    [{ a: { b: 1 } }, { a: 1 }, { a: { b: 1 } }],
  ])('finds what of %j differs from %j: %j', (desired, reported, delta) => {
    expect(deltaOf(desired, reported)).toEqual(delta)
  })
})

describe('pickMetadata and depthOf', () => {
  it('picks the metadata of what is named', () => {
    const metadata = { a: { b: { timestamp: 1 }, c: { timestamp: 2 } }, d: { timestamp: 3 } }
    expect(pickMetadata(metadata, { a: { c: 9 } })).toEqual({ a: { c: { timestamp: 2 } } })
  })

  it('counts levels', () => {
    expect([depthOf(1), depthOf({}), depthOf({ a: [{ b: 1 }] })]).toEqual([0, 1, 3])
  })
})
