import type { ActivationStatus } from './activation/activation-status.ts'
import type { ManifestLabel } from './release/wanted-release.ts'

/** What is known of one artifact, for the status document. Instants are milliseconds since 1970. */
export interface ArtifactStatus extends ActivationStatus {
  readonly name: string
  /** What `current` names; undefined before the first release, and until the first pass has looked. */
  readonly releaseId: string | undefined
  /** Of the manifest that the installed release came of; undefined where a listing said what to install. */
  readonly manifest: ManifestLabel | undefined
  readonly installedAtMs: number | undefined
  /** Of the installed release. */
  readonly files: number
  readonly bytes: number
  /** Since the start of the process, fetches that failed included in the bytes. */
  readonly fetchedFiles: number
  readonly fetchedBytes: number
  readonly phase: ArtifactPhase
  /** While waiting: until when. */
  readonly waitsUntilMs: number | undefined
  /** While downloading: how far this pass is. */
  readonly progress: ArtifactProgress | undefined
  /** While the current release is verified: how far that is. */
  readonly verification: VerificationProgress | undefined
}

/** How far the reading of a release is. */
export interface VerificationProgress {
  readonly files: number
  readonly totalFiles: number
  readonly bytes: number
  readonly totalBytes: number
}

/** `waiting`: something is to be downloaded as soon as a download window opens. */
export type ArtifactPhase = 'idle' | 'listing' | 'downloading' | 'waiting' | 'activating'

export interface ArtifactProgress {
  readonly files: number
  readonly totalFiles: number
  /** What an earlier pass brought included. */
  readonly bytes: number
  readonly totalBytes: number
  /** Smoothed over some ten seconds; undefined in the first one. */
  readonly bytesPerSecond: number | undefined
  /** At this rate; undefined as long as nothing comes. */
  readonly remainingSeconds: number | undefined
}
