import { contentKey } from '../artifact-plan.ts'
import type { ReleaseRecord } from './release-tree.ts'

/** The release that `current` names, and the others that are kept beside it, what to go back to first. */
export interface InstalledRelease {
  readonly record: ReleaseRecord
  readonly bytes: number
  readonly others: readonly ReleaseSummary[]
  /** Content keys. */
  readonly contents: ReadonlySet<string>
  /** Content keys of the others. */
  readonly previousContents: ReadonlySet<string>
}

export interface ReleaseSummary {
  readonly releaseId: string
  readonly installedAt: string
  readonly files: number
  readonly bytes: number
  /** Was current before the current one. */
  readonly isPrevious: boolean
}

export interface Keep {
  /** The current one included. */
  readonly releases: number
  readonly isUnwanted: (releaseId: string) => boolean
}

/** Chooses among all releases that are there which to keep: the one before the current one, then the newest. */
export function describeInstalled(
  currentId: string,
  records: readonly ReleaseRecord[],
  { releases, isUnwanted }: Keep,
): InstalledRelease | undefined {
  const record = records.find(({ releaseId }) => releaseId === currentId)
  if (record === undefined) return undefined
  const others = records
    .filter(({ releaseId }) => releaseId !== currentId && !isUnwanted(releaseId))
    .sort((one, other) => rank(other, record) - rank(one, record))
    .slice(0, releases - 1)
  return {
    record,
    bytes: bytesOf(record),
    others: others.map((other) => ({ ...summaryOf(other), isPrevious: other.releaseId === record.previous })),
    contents: new Set(record.files.map(contentKey)),
    previousContents: new Set(others.flatMap(({ files }) => files.map(contentKey))),
  }
}

export function summaryOf(record: ReleaseRecord): ReleaseSummary {
  const { releaseId, installedAt, files } = record
  return { releaseId, installedAt, files: files.length, bytes: bytesOf(record), isPrevious: false }
}

function rank({ releaseId, installedAt }: ReleaseRecord, { previous }: ReleaseRecord): number {
  return releaseId === previous ? Infinity : Date.parse(installedAt)
}

function bytesOf({ files }: ReleaseRecord): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}
