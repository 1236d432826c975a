import type { ErrorReport } from '../lib/errors.ts'
import type { UpdatePart } from './update-part.ts'

/** How one part of the agent is. Instants are ISO 8601 in cloud time. */
export interface PartStatus {
  readonly state: string
  /** When it entered that state. */
  readonly since?: string
  /** When its last pass ended that did not fail. */
  readonly lastGoodAt?: string
  readonly lastError?: ErrorReport & { readonly at?: string }
  readonly nextAttemptAt?: string
}

export interface CredentialsPart extends PartStatus {
  readonly name: string
  /** Successful fetches since the start. */
  readonly fetches: number
  readonly expiresAt?: string
}

export interface ArtifactPart extends PartStatus {
  readonly name: string
  readonly phase: string
  readonly releaseId?: string
  readonly installedAt?: string
  /** An operator went back to this release; the source is followed again when it changes. */
  readonly held?: boolean
  /** `asking`, `healthy` or `unhealthy`; none where nobody asks. */
  readonly health?: string
  /** Ids of releases that were not healthy. */
  readonly quarantined?: readonly string[]
  /** What the manifest that the installed release came of says; `verified` is whether its signature was checked. */
  readonly manifest?: {
    readonly sequence: number
    readonly version: string
    readonly createdAt: string
    readonly verified: boolean
  }
  readonly files: number
  readonly bytes: number
  /** Since the start. */
  readonly fetchedFiles: number
  readonly fetchedBytes: number
  /** While something waits for a download window: until when. */
  readonly waitsUntil?: string
  /** While downloading: how far the pass is. */
  readonly progress?: {
    readonly files: number
    readonly totalFiles: number
    readonly bytes: number
    readonly totalBytes: number
    /** Smoothed over some ten seconds. */
    readonly bytesPerSecond?: number
    /** At this rate. */
    readonly remainingSeconds?: number
  }
  /** While the current release is verified: how far that is. */
  readonly verification?: {
    readonly files: number
    readonly totalFiles: number
    readonly bytes: number
    readonly totalBytes: number
  }
}

/** The state is `starting`, `ok`, `pending`, `unproven` or `failing`. */
export interface CameraPart extends PartStatus {
  readonly name: string
  /** While it is `pending` or `unproven`: what it waits for, and why. */
  readonly detail?: string
  /** In the camera's file. */
  readonly versionId?: string
  /** When that came into the file. */
  readonly changedAt?: string
}

export interface ApplicationPart extends PartStatus {
  readonly name: string
  /** How often credentials were handed to it since the start. */
  readonly served: number
  /** What its role alias leads to, where STS could be asked. */
  readonly role?: string
  /** Of the credentials held. */
  readonly expiresAt?: string
}

/** The copies that cameras have their credentials from after a reboot without network. */
export interface CameraSealingPart extends PartStatus {
  /** Where the key comes from: `systemd-credential`, `file`, or `none`, as well while `starting`: it is looked for then. */
  readonly key: string
}

/** A program that root runs after camera files have changed. */
export interface CameraHookPart extends PartStatus {
  readonly name: string
}

/** `at` is since when it runs, or when it ended. */
export interface JobPart {
  readonly jobId: string
  readonly operation: string
  readonly status: string
  readonly at: string
  /** How AWS had ended it already, where that is not how it ended here: cancelled too late, or deleted. */
  readonly cloudStatus?: string
  /** Why AWS does not take its end. */
  readonly endRefused?: string
}

/** The jobs of AWS IoT. */
export interface JobsPart extends PartStatus {
  readonly current?: JobPart
  readonly last?: JobPart
  /** Ended here, and not acknowledged by the cloud. */
  readonly unreported: number
}

export interface LogSourcePart extends PartStatus {
  /** A path, or what else the source is called. */
  readonly name: string
  /** Of files. */
  readonly path?: string
  readonly group: string
  readonly stream: string
  /** Of files: everything before it was accepted. */
  readonly positionBytes?: number
  readonly sizeBytes?: number
  /** What is there and not accepted, where that is known. */
  readonly backlogBytes?: number
  /** How long ago the oldest event happened that was read and not accepted. */
  readonly lagSeconds?: number
  readonly lastAcceptedAt?: string
}

export interface LogsPart extends PartStatus {
  readonly group: string
  /** Events since the start. */
  readonly accepted: number
  readonly lost: number
  /** What was removed at its source, such as by rotation, before it could be read. */
  readonly lostBytes: number
  /** Events, and bytes of files, that were not sent for their level or because they were too far behind. */
  readonly leftOut: number
  readonly leftOutBytes: number
  readonly pendingBytes: number
  /** Records of what is missing in a stream that have not arrived there. */
  readonly gapsPending: number
  /** Whether there is more to send than goes along with one batch of each stream. */
  readonly catchingUp: boolean
  readonly sources: readonly LogSourcePart[]
}

/** Cloud time and how far the system clock is off; `known` once a server has told the time. */
export interface ClockPart {
  readonly now: string
  readonly offsetSeconds: number
  readonly known: boolean
  /** What came of the last request to root to set the system clock. */
  readonly lastStep?: { readonly result: string; readonly code: string; readonly at: string }
}

/** The way to the cloud. */
export interface NetworkPart {
  /** host:port of the proxy in use, with `https://` before it where that is spoken to by TLS. */
  readonly proxy?: string
  /** What was sent and received in this month, in UTC; `until` is there while downloads and log uploads wait. */
  readonly traffic: {
    readonly month: string
    readonly bytes: number
    readonly maxBytes?: number
    readonly state: 'ok' | 'near' | 'paused'
    readonly until?: string
  }
}

/** Which configuration is in use. */
export interface ConfigurationPart {
  /** Of the remote overlay; 0 where the base file alone is in use. */
  readonly version: number
  /** SHA-256 of the overlay's canonical JSON. */
  readonly digest: string
  /** `fallback`: it is not the one that it should be, for the faults listed. */
  readonly state: 'accepted' | 'trial' | 'fallback'
  /** What brought the version. */
  readonly job?: { readonly jobId: string; readonly executionNumber: number }
  /** While it is on trial in use: when it goes back unless it has proven itself. */
  readonly until?: string
  /** The first twenty. */
  readonly faults: readonly { readonly path: string; readonly message: string }[]
}

/** One value of the configuration, and where it is from. */
export interface ConfigurationValue {
  /** Such as `artifacts[0].prefix`. */
  readonly path: string
  readonly value: unknown
  readonly origin: 'base' | 'overlay' | 'default'
}

/** What `panorama-agent config show --json` prints. */
export interface ConfigurationReport {
  readonly version: 1
  readonly configuration: ConfigurationPart
  /** The configuration with every default filled in. */
  readonly config: unknown
  readonly values: readonly ConfigurationValue[]
}

/** The last rotation of the device certificate. Certificates by the id that AWS IoT has for them. */
export interface RotationPart {
  readonly state: 'under-way' | 'trial' | 'rotated' | 'failed'
  readonly at: string
  /** Why it failed; of one under way, what its last try failed of. */
  readonly reason?: string
  /** The one before, which nobody uses any more. */
  readonly deactivate?: string
  /** One that was registered, or may have been, and was given up. */
  readonly orphan?: string
}

/** A certificate that somebody has to deactivate in AWS IoT, and has not said that it is done. */
export interface LeftOverPart {
  readonly certificateId: string
  /** It was in use before (`deactivate`); or it was registered, or may have been, and was given up (`orphan`). */
  readonly why: 'deactivate' | 'orphan'
  /** By the clock of the appliance. */
  readonly at: string
}

/** What `panorama-agent status --json` prints. Fields are only ever added; `version` changes when one must go. */
export interface StatusDocument {
  readonly version: 1
  readonly agent: { readonly version: string; readonly pid: number; readonly startedAt: string }
  readonly device: { readonly thingName: string; readonly id: string; readonly name: string; readonly region: string }
  readonly configuration?: ConfigurationPart
  /** None where there was never an update by job. */
  readonly update?: UpdatePart
  readonly clock: ClockPart
  readonly network?: NetworkPart
  readonly identity: PartStatus & {
    readonly origin?: string
    readonly certificateExpiresAt?: string
    readonly rotation?: RotationPart
    /** None where there is none. */
    readonly leftOver?: readonly LeftOverPart[]
  }
  readonly credentials: readonly CredentialsPart[]
  readonly artifacts: readonly ArtifactPart[]
  readonly cameras: readonly CameraPart[]
  readonly applications: readonly ApplicationPart[]
  /** Only while secrets cannot be read in batches, with why and until when. */
  readonly cameraSecrets?: PartStatus
  /** None where no camera is configured. */
  readonly cameraSealing?: CameraSealingPart
  /** None where no hook is configured. */
  readonly cameraHooks?: readonly CameraHookPart[]
  /** To AWS IoT Core: `waiting`, `connecting`, `connected` or `down`; this and jobs where endpoints.mqtt is set. */
  readonly connection?: PartStatus
  readonly jobs?: JobsPart
  readonly logs: LogsPart
  /** Workers that neither ended nor progressed by their own deadline. */
  readonly overdue: readonly string[]
}

/** What `panorama-agent status --json` prints while the appliance has no identity: it has no `identity` either. */
export interface UnprovisionedStatus {
  readonly version: 1
  readonly agent: StatusDocument['agent']
  readonly device: { readonly region: string }
  readonly clock: ClockPart
  /** `claim` is where its certificate is looked for. */
  readonly provisioning: PartStatus & {
    readonly step: string
    readonly template: string
    readonly claim: string
    /** Certificates that were registered and given up. None where there is none. */
    readonly leftOver?: readonly LeftOverPart[]
  }
  readonly overdue: readonly string[]
}

export type StatusReport = StatusDocument | UnprovisionedStatus
