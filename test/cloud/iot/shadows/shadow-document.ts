import { isDeepStrictEqual } from 'node:util'

/** A JSON object: a section of a shadow, or its metadata in the same shape. */
export type ShadowState = Readonly<Record<string, unknown>>

export type Section = 'desired' | 'reported'

type Sections<T> = Readonly<Partial<Record<Section, T>>>

/** A shadow as it is kept. The metadata of a value is when it was set, in seconds since 1970. */
export interface ShadowDocument {
  readonly state: Sections<ShadowState>
  readonly metadata: Sections<ShadowState>
  /** 1 for the first update. */
  readonly version: number
}

/** What an update says of each section: an object to merge, or null to remove all of it. */
export type ShadowChange = Sections<ShadowState | null>

export const sections: readonly Section[] = ['desired', 'reported']

/**
 * The shadow after an update: objects are merged, anything else is replaced, null removes ("Device Shadow service
 * documents"). The version goes up by one. A section with nothing left in it goes.
 */
export function applyChange(shadow: ShadowDocument, change: ShadowChange, timestamp: number): ShadowDocument {
  const changed = sections.map((section) => {
    const state = shadow.state[section] ?? {}
    const metadata = shadow.metadata[section] ?? {}
    const part = change[section]
    if (part === undefined) return { section, state, metadata }
    if (part === null) return { section, state: {}, metadata: {} }
    return { section, state: mergeState(state, part), metadata: mergeMetadata(metadata, part, timestamp) }
  })
  const kept = changed.filter(({ state }) => Object.keys(state).length > 0)
  return {
    state: Object.fromEntries(kept.map(({ section, state }) => [section, state])),
    metadata: Object.fromEntries(kept.map(({ section, metadata }) => [section, metadata])),
    version: shadow.version + 1,
  }
}

/** The metadata of values that were all set now. */
export function metadataOf(state: ShadowState, timestamp: number): ShadowState {
  return mergeMetadata({}, state, timestamp)
}

/** What of `desired` differs from `reported`; undefined when nothing does. Arrays are compared as a whole. */
export function deltaOf(desired: ShadowState, reported: ShadowState): ShadowState | undefined {
  const different = Object.entries(desired).flatMap(([key, wanted]): [string, unknown][] => {
    const actual = reported[key]
    if (!isObject(wanted) || !isObject(actual)) return isDeepStrictEqual(wanted, actual) ? [] : [[key, wanted]]
    const inner = deltaOf(wanted, actual)
    return inner === undefined ? [] : [[key, inner]]
  })
  return different.length === 0 ? undefined : Object.fromEntries(different)
}

/** The metadata of those values that `state` names. */
export function pickMetadata(metadata: ShadowState, state: ShadowState): ShadowState {
  return Object.fromEntries(
    Object.entries(state).map(([key, value]) => {
      const known = metadata[key]
      return [key, isObject(value) && isObject(known) ? pickMetadata(known, value) : known]
    }),
  )
}

/** How many objects and arrays lie within each other, the outermost included. */
export function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

export function isObject(value: unknown): value is ShadowState {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function mergeState(target: ShadowState, change: ShadowState): ShadowState {
  return merge(target, change, (before, value) =>
    isObject(value) ? mergeState(isObject(before) ? before : {}, value) : value,
  )
}

function mergeMetadata(target: ShadowState, change: ShadowState, timestamp: number): ShadowState {
  const stamp = (before: unknown, value: unknown): unknown => {
    if (isObject(value)) return mergeMetadata(isObject(before) && !isStamp(before) ? before : {}, value, timestamp)
    return Array.isArray(value) ? value.map((item) => stamp(undefined, item)) : { timestamp }
  }
  return merge(target, change, stamp)
}

function merge(
  target: ShadowState,
  change: ShadowState,
  join: (before: unknown, value: unknown) => unknown,
): ShadowState {
  const merged = new Map(Object.entries(target))
  for (const [key, value] of Object.entries(change)) {
    if (value === null) merged.delete(key)
    else merged.set(key, join(merged.get(key), value))
  }
  return Object.fromEntries(merged)
}

/** The metadata of a plain value, not of an object that has a key `timestamp`. */
function isStamp({ timestamp }: ShadowState): boolean {
  return typeof timestamp === 'number'
}
