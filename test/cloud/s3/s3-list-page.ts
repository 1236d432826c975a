import { compareUtf8 } from './utf8-order.ts'

export type ListEntry =
  { readonly kind: 'key'; readonly key: string } | { readonly kind: 'common-prefix'; readonly prefix: string }

export interface ListQuery {
  readonly prefix: string
  /** Keys that hold it behind the prefix are rolled up into one entry. Empty: none. */
  readonly delimiter: string
  /** Where to go on: behind a key, or behind every key that a rolled-up prefix stands for. */
  readonly after: ListEntry | undefined
  readonly maxEntries: number
}

export interface ListPage {
  readonly entries: readonly ListEntry[]
  readonly truncated: boolean
}

/** One page of ListObjectsV2 over keys in UTF-8 order. Keys and rolled-up prefixes count alike against the page. */
export function listPage(sortedKeys: readonly string[], query: ListQuery): ListPage {
  if (query.maxEntries === 0) return { entries: [], truncated: false }
  const entries: ListEntry[] = []
  let last = query.after
  for (let index = firstBehind(sortedKeys, query); index < sortedKeys.length; index++) {
    const key = sortedKeys[index] ?? ''
    if (!key.startsWith(query.prefix)) {
      if (compareUtf8(key, query.prefix) > 0) break
      continue
    }
    if (last?.kind === 'common-prefix' && key.startsWith(last.prefix)) continue
    if (entries.length === query.maxEntries) return { entries, truncated: true }
    last = rollUp(key, query)
    entries.push(last)
  }
  return { entries, truncated: false }
}

function firstBehind(sortedKeys: readonly string[], { after }: ListQuery): number {
  if (after === undefined) return 0
  const bound = after.kind === 'key' ? after.key : after.prefix
  let low = 0
  let high = sortedKeys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareUtf8(sortedKeys[middle] ?? '', bound) <= 0) low = middle + 1
    else high = middle
  }
  return low
}

function rollUp(key: string, { prefix, delimiter }: ListQuery): ListEntry {
  const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
  if (at < 0) return { kind: 'key', key }
  return { kind: 'common-prefix', prefix: key.slice(0, at + delimiter.length) }
}
