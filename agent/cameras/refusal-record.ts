import * as z from 'zod'

import { monotonicMs } from '../lib/monotonic.ts'

/** When something happened: in cloud time, and on the monotonic clock when this process first knew of it. */
export interface Moment {
  readonly atMs: number
  readonly knownMs: number
  /** Whether it happened in this process, so that the monotonic clock tells how long ago. */
  readonly isOwn: boolean
}

/** A credential sent to a camera that is not known to have taken it. */
export interface Attempt {
  readonly host: string
  readonly moment: Moment
}

export interface Refusals {
  readonly count: number
  /** The last one. */
  readonly moment: Moment
}

/** What is known of one camera's credentials. */
export interface CameraRecord {
  /** By version. */
  readonly refusals: ReadonlyMap<string, Refusals>
  /** The version in the camera's file, while the camera has not taken it. */
  readonly unproven: string | undefined
  /** What came of the last round of tries, while the secret's version is not in the file. */
  readonly verdict: SwapVerdict | undefined
}

export interface SwapVerdict {
  /** The version that it is about. */
  readonly versionId: string
  readonly state: 'pending' | 'failing'
  /** For people. */
  readonly text: string
  /** Where the next round goes on, because the camera's host had had its refused attempts. */
  readonly goesOnWith?: 'held' | 'previous' | undefined
  /** The version, other than the secret's, that belongs into the file. */
  readonly uses?: string | undefined
}

export interface RefusalRecord {
  readonly attempts: readonly Attempt[]
  /** Since when nothing is known of what came before: the record was lost. */
  readonly lost: Moment | undefined
  readonly cameras: ReadonlyMap<string, CameraRecord>
}

export const emptyRecord: RefusalRecord = { attempts: [], lost: undefined, cameras: new Map() }
export const emptyCamera: CameraRecord = { refusals: new Map(), unproven: undefined, verdict: undefined }

/**
 * Cameras lock an address out after 5 to 7 refusals in 30 minutes; the agent is not the only one there who may be wrong.
 * A little more than that, so that two clocks do not argue.
 */
const window = { attempts: 2, ms: 30 * 60_000 + 5_000 }
const minuteMs = 60_000
const retryMinutes = [10, 30, 60]
/** What can be in play for a camera at a time, and one to spare. */
const maxVersions = 4

export function momentNow(nowMs: number): Moment {
  return { atMs: nowMs, knownMs: monotonicMs(), isOwn: true }
}

/** How long ago: never by a clock that was set since, nor less than nothing when a clock went back over a restart. */
function ageMs({ atMs, knownMs, isOwn }: Moment, nowMs: number): number {
  const sinceKnownMs = monotonicMs() - knownMs
  return isOwn || atMs > nowMs ? sinceKnownMs : nowMs - atMs
}

/** How long a camera's host is left alone from now; 0 when it can have another attempt. */
export function hostWaitMs({ attempts, lost }: RefusalRecord, host: string, nowMs: number): number {
  const lostMs = lost === undefined ? 0 : window.ms - ageMs(lost, nowMs)
  const ages = attempts.filter((attempt) => attempt.host === host).map(({ moment }) => ageMs(moment, nowMs))
  const counting = ages.filter((age) => age < window.ms).sort((one, other) => one - other)
  const deciding = counting[window.attempts - 1]
  return Math.max(0, lostMs, deciding === undefined ? 0 : window.ms - deciding)
}

/** How long a version that was refused is not tried again; 0 when it can be, or was never refused. */
export function versionWaitMs(refusals: Refusals | undefined, nowMs: number): number {
  if (refusals === undefined) return 0
  const minutes = retryMinutes[Math.min(refusals.count, retryMinutes.length) - 1] ?? 0
  return Math.max(0, minutes * minuteMs - ageMs(refusals.moment, nowMs))
}

export function withRefusal({ refusals, ...camera }: CameraRecord, versionId: string, moment: Moment): CameraRecord {
  const count = (refusals.get(versionId)?.count ?? 0) + 1
  const others = [...refusals].filter(([each]) => each !== versionId).slice(1 - maxVersions)
  return { ...camera, refusals: new Map([...others, [versionId, { count, moment }]]) }
}

export function withoutRefusal({ refusals, ...camera }: CameraRecord, versionId: string): CameraRecord {
  return { ...camera, refusals: new Map([...refusals].filter(([each]) => each !== versionId)) }
}

/** Without what has no effect any more. */
export function pruned({ attempts, lost, cameras }: RefusalRecord, nowMs: number): RefusalRecord {
  const isRecent = (moment: Moment): boolean => ageMs(moment, nowMs) < window.ms
  const isEmpty = ({ refusals, unproven, verdict }: CameraRecord): boolean =>
    refusals.size === 0 && unproven === undefined && verdict === undefined
  return {
    attempts: attempts.filter(({ moment }) => isRecent(moment)),
    lost: lost !== undefined && isRecent(lost) ? lost : undefined,
    cameras: new Map([...cameras].filter(([, camera]) => !isEmpty(camera))),
  }
}

const instant = z.iso
  .datetime()
  .transform((text): Moment => ({ atMs: Date.parse(text), knownMs: monotonicMs(), isOwn: false }))

const recordSchema = z.object({
  version: z.literal(1),
  lostAt: instant.optional(),
  attempts: z.array(z.object({ host: z.string(), at: instant })),
  cameras: z.record(
    z.string(),
    z.object({
      refusals: z.record(z.string(), z.object({ count: z.int().min(1), lastAt: instant })),
      unproven: z.string().optional(),
      verdict: z
        .object({
          versionId: z.string(),
          state: z.enum(['pending', 'failing']),
          text: z.string(),
          goesOnWith: z.enum(['held', 'previous']).optional(),
          uses: z.string().optional(),
        })
        .optional(),
    }),
  ),
})

/** Throws when it is none. */
export function parseRecord(json: unknown): RefusalRecord {
  const { lostAt, attempts, cameras } = recordSchema.parse(json)
  return {
    attempts: attempts.map(({ host, at }) => ({ host, moment: at })),
    lost: lostAt,
    cameras: new Map(
      Object.entries(cameras).map(([name, { refusals, unproven, verdict }]) => [
        name,
        {
          refusals: new Map(
            Object.entries(refusals).map(([versionId, { count, lastAt }]) => [versionId, { count, moment: lastAt }]),
          ),
          unproven,
          verdict,
        },
      ]),
    ),
  }
}

/** As JSON, which `parseRecord` reads. */
export function recordDocument({ attempts, lost, cameras }: RefusalRecord): z.input<typeof recordSchema> {
  return {
    version: 1,
    ...(lost === undefined ? {} : { lostAt: asInstant(lost) }),
    attempts: attempts.map(({ host, moment }) => ({ host, at: asInstant(moment) })),
    cameras: Object.fromEntries(
      [...cameras].map(([name, { refusals, unproven, verdict }]) => [
        name,
        {
          refusals: Object.fromEntries(
            [...refusals].map(([versionId, { count, moment }]) => [versionId, { count, lastAt: asInstant(moment) }]),
          ),
          ...(unproven === undefined ? {} : { unproven }),
          ...(verdict === undefined ? {} : { verdict }),
        },
      ]),
    ),
  }
}

function asInstant({ atMs }: Moment): string {
  return new Date(atMs).toISOString()
}
