/** One version of a secret. */
export interface SecretVersion {
  readonly versionId: string
  /** The secret's text as stored; undefined when it holds binary data. */
  readonly text: string | undefined
}

/**
 * Where camera credentials come from. `current` answers the version that carries AWSCURRENT. It may be called at any
 * time and in parallel, changes nothing, and has a deadline of its own. It throws an AgentError that names the secret
 * and never its value, or rejects with the signal's reason on abort.
 */
export interface SecretReader {
  readonly current: (secretId: string, signal: AbortSignal) => Promise<SecretVersion>
}
