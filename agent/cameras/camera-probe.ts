/** What a camera is asked with. Texts as the secret holds them; empty where a camera needs none. */
export interface ProbeTarget {
  /** An rtsp or rtsps URL; user info in it is not used. */
  readonly streamUrl: string
  readonly username: string
  readonly password: string
  /** A file of roots in PEM for rtsps, in place of the system's. */
  readonly ca?: string | undefined
}

/** What a camera made of a credential. A detail holds no credential, no URL and nothing that the camera sent. */
export type ProbeOutcome =
  /** The camera took the credential, or asks for none at all. */
  | { readonly kind: 'accepted' }
  /**
   * 401 or 403 to a request that carried the credential, which counts against the camera's patience; or the camera
   * asks for a credential and the target has none: then nothing was sent, and `beforeAttempt` was not called.
   */
  | { readonly kind: 'refused'; readonly detail: string }
  /** No TCP or TLS connection, or no answer in time. */
  | { readonly kind: 'unreachable'; readonly detail: string }
  /** It answered, but nothing that tells: garbage, 5xx, a redirect elsewhere, an unknown scheme of authentication. */
  | { readonly kind: 'unclear'; readonly detail: string }

export interface ProbeHooks {
  /**
   * Awaited right before a request that carries a credential is sent, never before one without. False: nothing more is
   * sent, and the outcome is `unclear` or `unreachable`. What it throws is what the probe rejects with. Awaited again
   * before the credential is sent again, with a newer nonce (stale=true) or because the connection was found to be over:
   * the camera may count each, and nobody can tell from here.
   */
  readonly beforeAttempt: () => Promise<boolean>
}

/**
 * Asks a camera whether it takes a credential. It has a deadline of its own, may be called at any time and in parallel,
 * and leaves no connection open. It rejects with the signal's reason on abort, and sends nothing after that.
 */
export type CameraProbe = (target: ProbeTarget, hooks: ProbeHooks, signal: AbortSignal) => Promise<ProbeOutcome>
