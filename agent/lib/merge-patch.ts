import { isDeepStrictEqual } from 'node:util'

import { isJsonObject, ownField, type JsonObject, type JsonPath } from './json-object.ts'

/** What `patch` makes of `target`, as in JSON Merge Patch (RFC 7396). Neither is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch
  const merged = new Map(Object.entries(isJsonObject(target) ? target : {}))
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name)
    else merged.set(name, mergePatch(merged.get(name), value))
  }
  return Object.fromEntries(merged)
}

export type Composition =
  | { readonly kind: 'composed'; readonly patch: JsonObject }
  /** No one patch does to this target what the two do: at `path` the first leaves no object, the second wants one. */
  | { readonly kind: 'impossible'; readonly path: JsonPath }

/**
 * The one patch that does to `target` what `first` and then `second` do. There may be none: a merge patch cannot say that
 * an object takes the place of another.
 */
export function composePatches(target: unknown, first: JsonObject, second: JsonObject): Composition {
  const patch = compose(first, second)
  const wanted = mergePatch(mergePatch(target, first), second)
  const path = firstDifference(mergePatch(target, patch), wanted)
  return path === undefined ? { kind: 'composed', patch } : { kind: 'impossible', path }
}

function compose(first: JsonObject, second: JsonObject): JsonObject {
  const composed = new Map(Object.entries(first))
  for (const [name, later] of Object.entries(second)) {
    const earlier = composed.get(name)
    composed.set(name, isJsonObject(earlier) && isJsonObject(later) ? compose(earlier, later) : later)
  }
  return Object.fromEntries(composed)
}

function firstDifference(one: unknown, other: unknown, path: JsonPath = []): JsonPath | undefined {
  if (isDeepStrictEqual(one, other)) return undefined
  if (!isJsonObject(one) || !isJsonObject(other)) return path
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  for (const name of names) {
    const difference = firstDifference(ownField(one, name), ownField(other, name), [...path, name])
    if (difference !== undefined) return difference
  }
  return path
}

/** The patch that makes `to` of `from`. Both without null, which a merge patch cannot set. */
export function patchBetween(from: JsonObject, to: JsonObject): JsonObject {
  const patch = new Map<string, unknown>()
  for (const name of Object.keys(from)) if (ownField(to, name) === undefined) patch.set(name, null)
  for (const [name, value] of Object.entries(to)) {
    const before = ownField(from, name)
    if (isDeepStrictEqual(before, value)) continue
    patch.set(name, isJsonObject(before) && isJsonObject(value) ? patchBetween(before, value) : value)
  }
  return Object.fromEntries(patch)
}
