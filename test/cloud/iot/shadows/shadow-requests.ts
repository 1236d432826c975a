import { z } from 'zod'

import { depthOf, isObject, sections, type ShadowChange } from './shadow-document.ts'

/** A refusal as it is published to `.../rejected`, with the codes of "Device Shadow error messages". */
export class ShadowRejection extends Error {
  override readonly name = 'ShadowRejection'
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export interface ShadowTopic {
  readonly thingName: string
  readonly shadowName: string
  readonly action: 'GetThingShadow' | 'UpdateThingShadow' | 'DeleteThingShadow'
}

export interface ShadowUpdate {
  readonly change: ShadowChange
  readonly version: number | undefined
}

export const maxShadowBytes = 8192
const maxDepth = 8
const topicPattern = /^\$aws\/things\/([^/]+)\/shadow\/name\/([^/]+)\/(get|update|delete)$/
const shadowNamePattern = /^[$a-zA-Z0-9:_-]{1,64}$/
const actions = { get: 'GetThingShadow', update: 'UpdateThingShadow', delete: 'DeleteThingShadow' } as const

export const shadowFilters = ['get', 'update', 'delete'].map((verb) => `$aws/things/+/shadow/name/+/${verb}`)

export function parseShadowTopic(topic: string): ShadowTopic | undefined {
  const [, thingName = '', shadowName = '', verb] = topicPattern.exec(topic) ?? []
  if (verb !== 'get' && verb !== 'update' && verb !== 'delete') return undefined
  return { thingName, shadowName, action: actions[verb] }
}

export function checkShadowName({ shadowName }: ShadowTopic): void {
  if (!shadowNamePattern.test(shadowName)) throw new ShadowRejection(400, `Invalid shadow name: '${shadowName}'`)
}

/** The JSON object of a request; an empty payload is an empty one where that is allowed. Throws a ShadowRejection. */
export function parseShadowJson(payload: Buffer, { mayBeEmpty }: { readonly mayBeEmpty: boolean }): unknown {
  if (payload.length > maxShadowBytes) {
    throw new ShadowRejection(413, 'The payload exceeds the maximum size allowed')
  }
  if (payload.length === 0 && mayBeEmpty) return {}
  const json = jsonOf(payload)
  if (!isObject(json)) throw new ShadowRejection(400, 'Invalid JSON')
  return json
}

/** Checks the request state document ("Request state document"). Throws a ShadowRejection. */
export function checkUpdate(json: unknown): ShadowUpdate {
  if (!isObject(json) || json['state'] === undefined) throw new ShadowRejection(400, 'Missing required node: state')
  const { state } = json
  if (!isObject(state)) throw new ShadowRejection(400, "State node must be an object: 'state'")
  let change: ShadowChange = {}
  for (const [name, part] of Object.entries(state)) {
    const section = sections.find((known) => known === name)
    if (section === undefined) throw new ShadowRejection(400, `State contains an invalid node: '${name}'`)
    if (part !== null && !isObject(part)) throw new ShadowRejection(400, `Desired and reported must be objects`)
    if (depthOf(part) > maxDepth) {
      throw new ShadowRejection(400, `JSON contains too many levels of nesting; maximum is ${maxDepth}`)
    }
    if (hasNullInArray(part)) throw new ShadowRejection(400, 'Arrays cannot contain null values')
    change = { ...change, [section]: part }
  }
  return { change, version: checkVersion(json) }
}

/** The version that a request demands, if it does. Throws a ShadowRejection. */
export function checkVersion(json: unknown): number | undefined {
  const parsed = z.object({ version: z.int().min(0).optional() }).safeParse(json)
  if (!parsed.success) throw new ShadowRejection(400, 'Invalid version')
  return parsed.data.version
}

/** The token to give back, also where the rest of the request is at fault. */
export function shadowTokenOf(payload: Buffer): string | undefined {
  try {
    return z.object({ clientToken: z.string().max(64) }).parse(jsonOf(payload)).clientToken
  } catch {
    return undefined
  }
}

function jsonOf(payload: Buffer): unknown {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
    return json
  } catch {
    throw new ShadowRejection(400, 'Invalid JSON')
  }
}

function hasNullInArray(value: unknown): boolean {
  if (Array.isArray(value)) return value.some((item) => item === null || hasNullInArray(item))
  return isObject(value) && Object.values(value).some(hasNullInArray)
}
