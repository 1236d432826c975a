import { createHash } from 'node:crypto'

import * as z from 'zod'

import { canonicalJson, type JsonObject } from '../lib/json-object.ts'

/** One execution of a job, as AWS IoT Jobs numbers them. */
export interface JobExecutionId {
  readonly jobId: string
  readonly executionNumber: number
  /** Seconds since 1970: a job that is made anew under the id of a deleted one counts its executions anew. */
  readonly queuedAt?: number | undefined
}

export const confirmSecondsBounds = { min: 30, max: 3_600, usual: 300 } as const

const jsonObject = z.record(z.string(), z.unknown())

const overlayVersionSchema = z
  .strictObject({
    version: z.literal(1),
    number: z.int().min(1),
    /** A JSON merge patch (RFC 7396) over the base file. */
    overlay: jsonObject,
    digest: z.string(),
    createdAt: z.iso.datetime(),
    job: z.strictObject({ jobId: z.string(), executionNumber: z.int(), queuedAt: z.number().optional() }).optional(),
    state: z.enum(['trial', 'accepted', 'reverted']),
    /** How often the process started while it was on trial. */
    starts: z.int().min(0),
    confirmSeconds: z.int().min(1),
    reason: z.string().optional(),
  })
  .refine(({ overlay, digest }) => digest === digestOf(overlay), 'the digest is not that of the overlay')

/** A version of the remote overlay, as it stands in `<state>/config/<number>.json`. */
export type OverlayVersion = Readonly<z.infer<typeof overlayVersionSchema>>

export function isSameJob(one: JobExecutionId | undefined, other: JobExecutionId): boolean {
  const { jobId, executionNumber, queuedAt } = other
  return one?.jobId === jobId && one.executionNumber === executionNumber && one.queuedAt === queuedAt
}

/** Throws when it is none, or its overlay is not what was written. */
export function parseOverlayVersion(json: unknown): OverlayVersion {
  return overlayVersionSchema.parse(json)
}

/** SHA-256, in hex, of an overlay's canonical JSON: the same on every appliance that has the same overlay. */
export function digestOf(overlay: JsonObject): string {
  return createHash('sha256').update(canonicalJson(overlay)).digest('hex')
}

/**
 * Which version is in force, of those for which `isUsable`: the highest that is on trial or accepted, so that an old trial
 * whose end was never recorded counts no more; undefined when it is the base file alone.
 */
export function versionInForce(
  versions: readonly OverlayVersion[],
  isUsable: (version: OverlayVersion) => boolean,
): OverlayVersion | undefined {
  const usable = versions.filter((version) => version.state !== 'reverted' && isUsable(version))
  return usable.toSorted((one, other) => other.number - one.number)[0]
}
