/** What `JSON.parse` makes of `{}`. */
export type JsonObject = Readonly<Record<string, unknown>>

/** Where something is in a document: names of fields and indices of arrays, from the top. */
export type JsonPath = readonly PropertyKey[]

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value of a field that the object has itself; undefined when it has none. */
export function ownField(object: JsonObject, name: PropertyKey): unknown {
  return Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined
}

/** A path as people write it: `artifacts[0].prefix`; empty for the whole document. */
export function pathText(path: JsonPath): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    return text === '' ? String(key) : `${text}.${String(key)}`
  }, '')
}

/** The same text for the same value, whatever the order of fields: what digests are made of. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (!isJsonObject(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
  })
}
