import type { ProbeOutcome } from './camera-probe.ts'
import { cameraHost, parseStreamUrl } from './stream-url.ts'

/** What a camera's stream is opened with. */
export interface Credential {
  readonly username: string
  readonly password: string
  readonly streamUrl: string
  readonly versionId: string
}

/**
 * What was learnt from one camera in a pass and holds for others: a host that cannot be reached, and a user and password
 * that it refuses. So a recorder with many cameras sees a wrong password once.
 */
export class PassOutcomes {
  readonly #known = new Map<string, ProbeOutcome>()

  add(credential: Credential, outcome: ProbeOutcome): void {
    if (outcome.kind === 'unreachable') this.#known.set(placeOf(credential), outcome)
    if (outcome.kind === 'refused') this.#known.set(loginOf(credential), outcome)
  }

  find(credential: Credential): ProbeOutcome | undefined {
    return this.#known.get(placeOf(credential)) ?? this.#known.get(loginOf(credential))
  }
}

/** The same for two versions of a secret that say the same. */
export function saysTheSame(one: Credential, other: Credential): boolean {
  return hasSameLogin(one, other) && one.streamUrl === other.streamUrl
}

/** Whether a camera sees the same user and password on the same host. */
export function hasSameLogin(one: Credential, other: Credential): boolean {
  return loginOf(one) === loginOf(other)
}

function placeOf({ streamUrl }: Credential): string {
  const { scheme = '', host = '', port } = parseStreamUrl(streamUrl) ?? {}
  return JSON.stringify([scheme, host, port ?? ''])
}

function loginOf({ username, password, streamUrl }: Credential): string {
  return JSON.stringify([cameraHost(streamUrl) ?? '', username, password])
}
