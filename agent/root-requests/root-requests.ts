/** What the agent may ask root for; see "Requests to root" in panorama-agent(8). */
export interface RootRequest {
  readonly verb: 'reboot' | 'restart-unit' | 'run-hook' | 'set-clock' | 'install-update' | 'confirm-update'
  /**
   * At most 128 characters of `A-Z a-z 0-9 @ . _ : -`, of updates at most 160 of these and `~ +`; empty or left out where the
   * verb takes none.
   */
  readonly argument?: string
}

/**
 * What came of it. `code` says more, in kebab-case. Without an answer the code is `not-taken` when nobody took the
 * request, which is then withdrawn, and `taken` when root is at it, or was cut off in it.
 */
export interface RootAnswer {
  readonly result: 'done' | 'refused' | 'failed' | 'no answer'
  readonly code: string
}

/**
 * Asks root for one of the few things that need it. Not idempotent: a request that is given up may still be acted on.
 * May be called in parallel; root handles one after the other. Has a deadline of its own, which depends on the verb.
 * Throws an AgentError when the request cannot be made, and rejects with the signal's reason on abort, after it has
 * withdrawn the request.
 */
export interface RootRequests {
  readonly request: (request: RootRequest, signal: AbortSignal) => Promise<RootAnswer>
}
