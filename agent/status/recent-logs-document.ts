import type { PartStatus } from './status-document.ts'

/** What one log stream waits with for its upload. */
export interface LogStreamPart extends PartStatus {
  readonly group: string
  readonly stream: string
  /** Read and not accepted. */
  readonly events: number
  readonly bytes: number
  /** What is there at its sources and not accepted, where they know. */
  readonly backlogBytes?: number
  /** How long ago the oldest event happened that was read and not accepted. */
  readonly lagSeconds?: number
  readonly lastAcceptedAt?: string
  /** Records of what is missing in it that have not arrived there. */
  readonly gapsPending: number
}

/** What `panorama-agent logs --json` prints. */
export interface RecentLogs {
  readonly version: 1
  /** Differs from that of every other run of the agent; each numbers its lines from 1. */
  readonly run: string
  readonly now: string
  /** Of the agent's own log, oldest first: as many as it still has. */
  readonly lines: readonly { readonly number: number; readonly text: string }[]
  /** False while the appliance has no identity: nothing can be uploaded, and what is logged is kept for it. */
  readonly provisioned: boolean
  readonly streams: readonly LogStreamPart[]
}
