import { applyChange, deltaOf, type ShadowChange, type ShadowDocument } from './shadow-document.ts'
import { maxShadowBytes, ShadowRejection } from './shadow-requests.ts'

interface Entry {
  /** Undefined once deleted: the version is kept, as AWS does for two days. */
  readonly shadow: ShadowDocument | undefined
  readonly version: number
}

export interface ShadowUpdateResult {
  readonly previous: ShadowDocument
  readonly current: ShadowDocument
  /** What the device has yet to do. */
  readonly delta: Readonly<Record<string, unknown>> | undefined
  readonly clientToken: string | undefined
}

export interface UpdateShadow {
  readonly change: ShadowChange
  /** The version that has to be the current one. */
  readonly version?: number | undefined
  readonly clientToken?: string | undefined
}

const emptyShadow: ShadowDocument = { state: {}, metadata: {}, version: 0 }

/** The named shadows of all things. */
export class Shadows {
  readonly #entries = new Map<string, Entry>()
  readonly #nowSeconds: () => number
  readonly #onUpdate: (thingName: string, shadowName: string, result: ShadowUpdateResult) => void

  constructor(
    nowSeconds: () => number,
    onUpdate: (thingName: string, shadowName: string, result: ShadowUpdateResult) => void,
  ) {
    this.#nowSeconds = nowSeconds
    this.#onUpdate = onUpdate
  }

  get(thingName: string, shadowName: string): ShadowDocument | undefined {
    return this.#entry(thingName, shadowName)?.shadow
  }

  /**
   * Updates as the HTTP API would, or a device. Throws a ShadowRejection: 409 where `version` is given and another one
   * is current, 413 where the state would be larger than 8 KB.
   */
  update(thingName: string, shadowName: string, { change, version, clientToken }: UpdateShadow): ShadowUpdateResult {
    const entry = this.#entry(thingName, shadowName)
    const previous = entry?.shadow ?? { ...emptyShadow, version: entry?.version ?? 0 }
    checkVersion(previous.version, version)
    const current = applyChange(previous, change, this.#nowSeconds())
    if (Buffer.byteLength(JSON.stringify(current.state)) > maxShadowBytes) {
      throw new ShadowRejection(413, 'The payload exceeds the maximum size allowed')
    }
    this.#entries.set(keyOf(thingName, shadowName), { shadow: current, version: current.version })
    const delta = deltaOf(current.state.desired ?? {}, current.state.reported ?? {})
    const result = { previous, current, delta, clientToken }
    this.#onUpdate(thingName, shadowName, result)
    return result
  }

  /** Answers the version that was deleted. Throws a ShadowRejection: 404, or 409 as `update` does. */
  delete(thingName: string, shadowName: string, version?: number): number {
    const shadow = this.get(thingName, shadowName)
    if (shadow === undefined) throw notFound(thingName, shadowName)
    checkVersion(shadow.version, version)
    this.#entries.set(keyOf(thingName, shadowName), { shadow: undefined, version: shadow.version })
    return shadow.version
  }

  #entry(thingName: string, shadowName: string): Entry | undefined {
    return this.#entries.get(keyOf(thingName, shadowName))
  }
}

export function notFound(thingName: string, shadowName: string): ShadowRejection {
  return new ShadowRejection(404, `No shadow exists with name: '${thingName}~${shadowName}'`)
}

function checkVersion(current: number, demanded: number | undefined): void {
  if (demanded !== undefined && demanded !== current) throw new ShadowRejection(409, 'Version conflict')
}

/** No name of a thing or shadow holds a slash. */
function keyOf(thingName: string, shadowName: string): string {
  return `${thingName}/${shadowName}`
}
