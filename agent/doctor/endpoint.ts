/** A server that the configuration needs. */
export interface Endpoint {
  /** Stable, for ids: `credentials`, `mqtt`, `s3-people-counter`. */
  readonly key: string
  /** For people, where the configuration names it or what it is for. */
  readonly name: string
  readonly host: string
  readonly port: number
  readonly isTls: boolean
  /** Whether the roots of identity.rootCa alone are trusted, as for everything of AWS IoT. */
  readonly trustsRootCaOnly: boolean
  /** Whether a handshake is all that can be had: no HTTP is spoken there. */
  readonly isMqtt: boolean
}

/** Hosts that stay on this machine (RFC 6761). */
export function isLoopbackHost(host: string): boolean {
  return /^(([^.]+\.)*localhost\.?|127(\.\d+){3}|::1)$/i.test(host)
}

/** Whether AWS itself answers for a name: anything else may be whoever the operator put there. */
export function isOfAws(host: string): boolean {
  return /\.(amazonaws\.com(\.cn)?|api\.aws)$/i.test(host)
}
