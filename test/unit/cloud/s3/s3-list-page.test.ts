import fc from 'fast-check'
import { expect, test } from 'vitest'

import { listPage, type ListEntry, type ListQuery } from '../../../cloud/s3/s3-list-page.ts'
import { compareUtf8 } from '../../../cloud/s3/utf8-order.ts'

const keys = ['a', 'b/1', 'b/2', 'b/c/3', 'd/4', 'e'] as const

test('rolls keys up to the delimiter behind the prefix', () => {
  expect(textsOf(everyPage(keys, { delimiter: '/' }))).toEqual(['a', 'b/', 'd/', 'e'])
  expect(textsOf(everyPage(keys, { prefix: 'b/', delimiter: '/' }))).toEqual(['b/1', 'b/2', 'b/c/'])
})

test('counts a rolled-up prefix as one entry of the page', () => {
  const page = listPage(keys, { ...everything, delimiter: '/', maxEntries: 2 })
  expect(page).toEqual({
    entries: [
      { kind: 'key', key: 'a' },
      { kind: 'common-prefix', prefix: 'b/' },
    ],
    truncated: true,
  })
})

test('is not truncated when the page is just full', () => {
  expect(listPage(keys, { ...everything, maxEntries: keys.length }).truncated).toBe(false)
  expect(listPage(keys, { ...everything, maxEntries: keys.length - 1 }).truncated).toBe(true)
})

test('starts behind a key that need not exist', () => {
  expect(textsOf(everyPage(keys, { after: { kind: 'key', key: 'b/15' } }))).toEqual(['b/2', 'b/c/3', 'd/4', 'e'])
})

test('gives every key once and in order, whatever the size of the pages', () => {
  fc.assert(
    fc.property(keySets, fc.nat({ max: 6 }), fc.constantFrom('', 'a', 'b/'), (set, extra, prefix) => {
      const sorted = [...set].sort(compareUtf8)
      const found = textsOf(everyPage(sorted, { prefix, maxEntries: extra + 1 }))
      expect(found).toEqual(sorted.filter((key) => key.startsWith(prefix)))
    }),
  )
})

test('gives every rolled-up prefix once, whatever the size of the pages', () => {
  fc.assert(
    fc.property(keySets, fc.nat({ max: 3 }), (set, extra) => {
      const sorted = [...set].sort(compareUtf8)
      const found = textsOf(everyPage(sorted, { delimiter: '/', maxEntries: extra + 1 }))
      expect(found).toEqual([...new Set(sorted.map((key) => /^[^/]*\//.exec(key)?.[0] ?? key))])
    }),
  )
})

const everything: ListQuery = { prefix: '', delimiter: '', after: undefined, maxEntries: 1000 }
const start: ListEntry = { kind: 'key', key: '' }
const keySets = fc.uniqueArray(fc.string({ unit: fc.constantFrom('a', 'b', '/', 'é', '\u{1f4f7}'), minLength: 1 }))

function everyPage(sorted: readonly string[], query: Partial<ListQuery>): readonly ListEntry[] {
  const wanted = { ...everything, ...query }
  const { entries, truncated } = listPage(sorted, wanted)
  const last = entries.at(-1)
  if (!truncated || last === undefined) return entries
  if (compareUtf8(textOf(last), textOf(wanted.after ?? start)) <= 0) throw new Error('a page did not get ahead')
  return [...entries, ...everyPage(sorted, { ...query, after: last })]
}

function textsOf(entries: readonly ListEntry[]): readonly string[] {
  return entries.map(textOf)
}

function textOf(entry: ListEntry): string {
  return entry.kind === 'key' ? entry.key : entry.prefix
}
