import { isDeepStrictEqual } from 'node:util'

import { isJsonObject, ownField, pathText, type JsonObject, type JsonPath } from '../lib/json-object.ts'
import { redactField, redactText } from '../lib/redact.ts'
import type { Config } from './config-schema.ts'
import { isSetBy } from './effective-config.ts'

/** One value of a configuration that holds no others, or an empty array or object. */
export interface ConfigValue {
  readonly path: JsonPath
  readonly value: unknown
}

/** Where a value of the effective configuration is from. */
export type ConfigOrigin = 'base' | 'overlay' | 'default'

/** One difference. What is not there before, or after, is left out; secrets are redacted, long texts cut. */
export interface ConfigChangeEntry {
  readonly path: string
  readonly from?: unknown
  readonly to?: unknown
}

export interface ConfigDiff {
  /** At most a hundred. */
  readonly changes: readonly ConfigChangeEntry[]
  /** How many more there are. */
  readonly omitted: number
}

const maxChanges = 100
const maxText = 200
/** A host and two paths: their names only sound like secrets. */
const noSecrets = new Set(['endpoints.credentials', 'identity.privateKey', 'network.proxy.passwordFile'])

/** Every value of a configuration, in the order of its fields. */
export function configValues(config: Config): readonly ConfigValue[] {
  return [...leaves(config, [])]
}

/** What of the base file and an overlay made a value; what neither holds is a default. */
export function originOf(path: JsonPath, { document, overlay }: OriginSources): ConfigOrigin {
  if (!isIn(document, path)) return 'default'
  return isSetBy(overlay, path) ? 'overlay' : 'base'
}

export interface OriginSources {
  /** Base and overlay merged, without defaults. */
  readonly document: unknown
  readonly overlay: JsonObject
}

/** What changes from one configuration to another, as the values that they hold. */
export function diffConfigs(from: Config, to: Config): ConfigDiff {
  const before = valuesByPath(from)
  const after = valuesByPath(to)
  const paths = [...new Set([...before.keys(), ...after.keys()])]
  const changed = paths.filter((path) => !isDeepStrictEqual(before.get(path)?.value, after.get(path)?.value))
  const changes = changed.slice(0, maxChanges).map((path) => ({
    path,
    ...shownAs('from', before.get(path)),
    ...shownAs('to', after.get(path)),
  }))
  return { changes, omitted: changed.length - changes.length }
}

/** A value as it may be shown to whoever looks at a job or a log. */
export function shownValue({ path, value }: ConfigValue): unknown {
  const text = pathText(path)
  const shown = noSecrets.has(text) ? value : redactField(String(path.findLast(isName) ?? ''), value)
  if (typeof shown !== 'string') return shown
  const redacted = redactText(shown)
  return redacted.length > maxText ? `${redacted.slice(0, maxText)}...` : redacted
}

function isName(key: PropertyKey): boolean {
  return typeof key === 'string'
}

function shownAs(side: 'from' | 'to', value: ConfigValue | undefined): Partial<ConfigChangeEntry> {
  return value === undefined ? {} : { [side]: shownValue(value) }
}

function valuesByPath(config: Config): ReadonlyMap<string, ConfigValue> {
  return new Map(configValues(config).map((value) => [pathText(value.path), value]))
}

function* leaves(value: unknown, path: JsonPath): Generator<ConfigValue> {
  const entries = entriesOf(value)
  if (entries.length === 0) {
    if (value !== undefined) yield { path, value }
    return
  }
  for (const [key, inner] of entries) yield* leaves(inner, [...path, key])
}

function entriesOf(value: unknown): readonly (readonly [PropertyKey, unknown])[] {
  if (Array.isArray(value)) return [...value.entries()]
  return isJsonObject(value) ? Object.entries(value) : []
}

function isIn(document: unknown, path: JsonPath): boolean {
  let at = document
  for (const key of path) {
    if (Array.isArray(at) && typeof key === 'number') at = at[key]
    else if (isJsonObject(at)) at = ownField(at, key)
    else return false
  }
  return at !== undefined
}
