import type { CameraFile } from './camera-file.ts'

/**
 * What each camera had last, kept over a reboot without network. Nothing here rejects, so that a camera never suffers
 * from its copy: what fails is in `status()`, and logged once. Calls for different cameras may run in parallel.
 */
export interface LastKnownGood {
  /** The copy of a camera; undefined when there is none, or none that can be opened, which is a fault. */
  readonly read: (name: string) => Promise<CameraFile | undefined>
  /**
   * Replaces the copy, durably. Also when it fails, or there is no key to seal it with, the promise resolves; `read`
   * then answers what it answered before, so it is worth another try at the next pass.
   */
  readonly write: (name: string, file: CameraFile) => Promise<void>
  /** Removes the copies of all other cameras. */
  readonly keep: (names: readonly string[]) => Promise<void>
  readonly status: () => SealingStatus
}

/** Where the key comes from; `none`, without a fault, before it was looked for, and with one when it cannot be had. */
export interface SealingStatus {
  readonly key: 'systemd-credential' | 'file' | 'none'
  /** What is wrong, cameras named; no secret in it. */
  readonly fault?: string
  /** What to do about it. */
  readonly hint?: string
}

/** Tells programs on the appliance that camera files changed, by the hooks of the configuration. */
export interface CameraHooks {
  /**
   * Some camera's file was written or removed, or may have been. Returns at once: which hooks are due is seen from the
   * files, so one call after many changes will do, and one too many does no harm.
   */
  readonly changed: () => void
}
