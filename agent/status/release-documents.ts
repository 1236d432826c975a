/** A release that is kept, or was not healthy. Of the latter nothing else is known when it is not kept. */
export interface ReleasePart {
  readonly releaseId: string
  readonly installedAt?: string
  readonly files?: number
  readonly bytes?: number
  /** Any of `current`, `previous`, `held`, `quarantined`, `asking`, `healthy`, `unhealthy`. */
  readonly is: readonly string[]
}

/** What `panorama-agent artifacts list` shows: the current release first. */
export interface ReleaseList {
  readonly version: 1
  readonly name: string
  readonly releases: readonly ReleasePart[]
}

/** What `panorama-agent artifacts verify` found. */
export interface VerificationReport {
  readonly version: 1
  readonly name: string
  readonly releaseId: string
  readonly files: number
  readonly bytes: number
  /** Paths. */
  readonly damaged: readonly string[]
}
