/** What the operations of jobs need of the rest of the agent, which gives it to them. */

export interface JobName {
  readonly jobId: string
  readonly executionNumber: number
  /** Tells it from a job of this id that was deleted before. */
  readonly queuedAt: number
}

export interface ConfigureRequest {
  readonly job: JobName
  readonly patch: Readonly<Record<string, unknown>>
  readonly replace: boolean
  readonly expectedVersion?: number | undefined
  readonly confirmSeconds: number
}

export interface ChangedValue {
  readonly path: string
  readonly from: string
  readonly to: string
}

/** Why nothing is changed. */
export type RefusedConfigure =
  /** It is what is in force already. */
  | { readonly kind: 'unchanged'; readonly number: number }
  | { readonly kind: 'invalid'; readonly faults: readonly { readonly path: string; readonly message: string }[] }
  /** Another version is in force than the one that was expected, or one is on trial. */
  | { readonly kind: 'conflict'; readonly number: number }

export type ConfigureAnswer =
  | RefusedConfigure
  /** It is on disk, and on trial from now on. */
  | { readonly kind: 'trial'; readonly number: number; readonly changes: readonly ChangedValue[] }

export type DryRunAnswer = RefusedConfigure | { readonly kind: 'changes'; readonly changes: readonly ChangedValue[] }

export type ConfigureOutcome =
  | { readonly kind: 'accepted'; readonly number: number }
  | { readonly kind: 'reverted'; readonly number: number; readonly reason: string }

export interface ConfigureActions {
  readonly propose: (request: ConfigureRequest, signal: AbortSignal) => Promise<ConfigureAnswer>
  /** As `propose`, and changes nothing. */
  readonly dryRun: (request: ConfigureRequest, signal: AbortSignal) => Promise<DryRunAnswer>
  /** Resolves when the trial of this job has ended, at once where it ended before; undefined when there never was one. */
  readonly settled: (job: JobName, signal: AbortSignal) => Promise<ConfigureOutcome | undefined>
  /** Ends the trial of this job, if it is still on, by going back. */
  readonly revert: (job: JobName, reason: string) => Promise<void>
}

export type RotationResult =
  | { readonly kind: 'rotated'; readonly certificateId: string; readonly previousCertificateId: string }
  /** The certificate before is in use. An orphan is registered, or may be, and used by nobody. */
  | { readonly kind: 'failed'; readonly reason: string; readonly orphanCertificateId?: string | undefined }

export interface WantedRotation {
  /** Of whoever asks. */
  readonly id: string
  /** How long the new certificate may take to show that it can be used. */
  readonly confirmSeconds: number
}

/** The rotation of the device certificate. */
export interface RotationActions {
  /** Resolves once a new certificate is on trial, or was; the same id goes on with what it began. */
  readonly begin: (wanted: WantedRotation, signal: AbortSignal) => Promise<void>
  readonly settled: (id: string, signal: AbortSignal) => Promise<RotationResult>
  /** Goes back to the certificate before, if it is not over. */
  readonly giveUp: (id: string, reason: string) => Promise<void>
  /** Lists certificates as left over no more, since they are deactivated; resolves with those that were listed. */
  readonly forget: (certificateIds: readonly string[], signal: AbortSignal) => Promise<readonly string[]>
}

/** What came of the update that root was asked for under an id; `none` while root knows nothing of it. */
export type UpdateReport =
  | { readonly kind: 'none' }
  | { readonly kind: 'trial' }
  | {
      readonly kind: 'ended'
      readonly outcome: 'confirmed' | 'rolled-back' | 'stuck'
      readonly from: string
      readonly to: string
      readonly reason?: string | undefined
    }

export interface UpdateActions {
  /** Of this agent. */
  readonly version: string
  /** The version of the signed package in the current release of an artifact. */
  readonly candidate: (artifact: string) => Promise<string>
  readonly report: (id: string) => Promise<UpdateReport>
}

export interface RootAnswer {
  readonly result: 'done' | 'refused' | 'failed' | 'no answer'
  readonly code: string
}

export interface SyncAsk {
  /** Once it aborts, nothing is waited for, and downloads keep to their windows again. */
  readonly signal: AbortSignal
  /** Called now and then while something is downloaded. */
  readonly onProgress: (details: Readonly<Record<string, string>>) => void
}

/**
 * Each rejects with an AgentError that says what failed, or with the signal's reason on abort. Names that are not
 * configured are errors.
 */
export interface JobActions {
  readonly configure: ConfigureActions
  readonly rotation: RotationActions
  readonly update: UpdateActions
  /** All artifacts when no name is given. Answers the release of each. */
  readonly syncArtifacts: (
    names: readonly string[] | undefined,
    ask: SyncAsk,
  ) => Promise<Readonly<Record<string, string>>>
  /** The release that a rollback would go to. */
  readonly rollbackTarget: (artifact: string, to: string | undefined) => Promise<string>
  readonly currentRelease: (artifact: string) => string | undefined
  readonly rollBack: (artifact: string, to: string, signal: AbortSignal) => Promise<void>
  readonly refreshCameras: (names: readonly string[] | undefined, signal: AbortSignal) => Promise<void>
  /** Resolves with the name of the log stream once everything was accepted there. */
  readonly collectDiagnostics: (
    request: { readonly jobId: string; readonly logLines: number },
    signal: AbortSignal,
  ) => Promise<{ readonly stream: string; readonly events: number }>
  readonly requestRoot: (
    request: { readonly verb: 'reboot' | 'restart-unit' | 'install-update'; readonly argument?: string },
    signal: AbortSignal,
  ) => Promise<RootAnswer>
  /** Ends this process in an orderly way; only where a service manager starts it again. */
  readonly restartAgent: (() => void) | undefined
  /** Differs for each start of the process. */
  readonly processId: string
  /** Differs for each boot; undefined where it cannot be known. */
  readonly bootId: string | undefined
}
