import type { AgentError } from '../lib/errors.ts'

/** One version of a secret. */
export interface SecretVersion {
  readonly versionId: string
  /** The secret's text as stored; undefined when it holds binary data. */
  readonly text: string | undefined
}

export type SecretOutcome =
  { readonly kind: 'read'; readonly version: SecretVersion } | { readonly kind: 'failed'; readonly error: AgentError }

/** What a batch came to. A secret that is asked for and is not among the outcomes has to be read by itself. */
export type BatchOutcome =
  | { readonly kind: 'answered'; readonly outcomes: ReadonlyMap<string, SecretOutcome> }
  /** The batch as such is not allowed, which says nothing of any secret in it. */
  | { readonly kind: 'denied'; readonly error: AgentError }

/**
 * Where camera credentials come from. Everything may be called at any time and in parallel, changes nothing, and has a
 * deadline of its own. It throws an AgentError that names the secret and never its value, or rejects with the signal's
 * reason on abort.
 */
export interface SecretReader {
  /** The versions that carry AWSCURRENT of up to `maxBatch` different secrets, in one call. */
  readonly batch: (secretIds: readonly string[], signal: AbortSignal) => Promise<BatchOutcome>
  /** The version that carries AWSCURRENT. */
  readonly current: (secretId: string, signal: AbortSignal) => Promise<SecretVersion>
  /** The version that carries AWSPREVIOUS; undefined when there is none. */
  readonly previous: (secretId: string, signal: AbortSignal) => Promise<SecretVersion | undefined>
}

/** How many secrets BatchGetSecretValue takes ("BatchGetSecretValue", AWS Secrets Manager API Reference). */
export const maxBatch = 20
