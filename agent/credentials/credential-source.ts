/** Temporary credentials as a source hands them out. */
export interface FetchedCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  /** How long they are valid from the moment of the answer, by the server's own clock. */
  readonly lifetimeMs: number
  /** The role that they are of, as `sts:GetCallerIdentity` names it but for the session; where it was asked for. */
  readonly role?: string
}

/**
 * Where temporary credentials come from. `fetch` asks anew at every call, may be called again at any time, and has a
 * deadline of its own. It throws an AgentError whose `retryable` tells a passing fault from one that needs a person,
 * with a hint for that person; on abort it rejects with the signal's reason.
 */
export interface CredentialSource {
  readonly fetch: (signal: AbortSignal) => Promise<FetchedCredentials>
}
