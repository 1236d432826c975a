import { isJsonObject, ownField, pathText, type JsonObject, type JsonPath } from '../lib/json-object.ts'
import { mergePatch } from '../lib/merge-patch.ts'
import type { Config } from './config-schema.ts'
import type { ConfigFault } from './config-error.ts'
import { checkConfig, type ConfigIssue } from './load-config.ts'

/** A remote overlay in force: a version's, or one that may become a version. */
export interface Overlay {
  /** Undefined while it is none yet. */
  readonly number?: number | undefined
  readonly overlay: JsonObject
}

export type EffectiveConfig =
  | { readonly kind: 'valid'; readonly config: Config; readonly document: unknown }
  | { readonly kind: 'invalid'; readonly faults: readonly ConfigFault[] }

/** These say where the agent finds itself, and the overlay with it; and what is for editors alone. */
const localFields = ['paths', '$schema']

const maxDepth = 32
const maxBytes = 256 * 1024

/** The configuration that a base file and an overlay make together, or every fault, each with where its value is from. */
export function effectiveConfig(base: unknown, { number, overlay }: Overlay): EffectiveConfig {
  const faults = overlayFaults(overlay)
  if (faults.length > 0) return { kind: 'invalid', faults }
  const document = mergePatch(base, overlay)
  const { config, issues } = checkConfig(document)
  if (config !== undefined) return { kind: 'valid', config, document }
  return { kind: 'invalid', faults: issues.map((issue) => describe(issue, { number, overlay })) }
}

/** What of an overlay may stand in none, whatever the base file is. */
export function overlayFaults(overlay: JsonObject): readonly ConfigFault[] {
  const local = localFields.filter((name) => Object.hasOwn(overlay, name))
  if (local.length > 0) {
    return local.map((path) => ({ path, message: 'can be set in the base file of the appliance only' }))
  }
  const path = unfit(overlay, [])
  if (path !== undefined) return [{ path: pathText(path.slice(0, 8)), message: `is __proto__, or nested too deep` }]
  if (JSON.stringify(overlay).length > maxBytes) return [{ path: '', message: `would be more than ${maxBytes} bytes` }]
  return []
}

/** Whether an overlay decides what is at a path: it sets or removes that, or what it is in. Arrays are set as a whole. */
export function isSetBy(overlay: JsonObject, path: JsonPath): boolean {
  let at: unknown = overlay
  for (const key of path) {
    if (!isJsonObject(at)) return at !== undefined
    at = ownField(at, key)
  }
  return at !== undefined
}

function describe({ path, message }: ConfigIssue, { number, overlay }: Overlay): ConfigFault {
  const version = number === undefined ? 'the change' : `configuration version ${number}`
  const origin = isSetBy(overlay, path) ? version : 'the base file'
  return { path: pathText(path), message: `${message} (from ${origin})` }
}

function unfit(value: unknown, path: JsonPath): JsonPath | undefined {
  if (path.length > maxDepth || path.at(-1) === '__proto__') return path
  if (typeof value !== 'object' || value === null) return undefined
  const entries = Array.isArray(value) ? value.entries() : Object.entries(value)
  for (const [key, inner] of entries) {
    const found = unfit(inner, [...path, key])
    if (found !== undefined) return found
  }
  return undefined
}
