import { contentKey } from './artifact-plan.ts'
import type { ReleaseRecord, ReleaseTree } from './release-tree.ts'

/** The release that `current` names, and what it and the one before it need of the store. */
export interface InstalledRelease {
  readonly record: ReleaseRecord
  readonly bytes: number
  /** Content keys. */
  readonly contents: ReadonlySet<string>
  readonly previousContents: ReadonlySet<string>
}

export async function describeInstalled(record: ReleaseRecord, tree: ReleaseTree): Promise<InstalledRelease> {
  const previous = record.previous === undefined ? undefined : await tree.record(record.previous)
  return {
    record,
    bytes: record.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    contents: new Set(record.files.map(contentKey)),
    previousContents: new Set(previous?.files.map(contentKey)),
  }
}
