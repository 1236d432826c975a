import type { ArtifactWorker } from '../../artifacts/artifact-worker.ts'
import type { ReleaseList, ReleasePart } from '../../status/release-documents.ts'

/** The kept releases of an artifact, the current one first, then those that were not healthy. */
export function releaseList({ releases, status }: Pick<ArtifactWorker, 'releases' | 'status'>): ReleaseList {
  const { name, releaseId: currentId, isHeld, health, quarantined } = status()
  const kept = releases().map(({ isPrevious, ...release }): ReleasePart => {
    const { releaseId } = release
    const current = ['current', ...(isHeld ? ['held'] : []), ...(health === undefined ? [] : [health])]
    const other = isPrevious ? ['previous'] : []
    return { ...release, is: releaseId === currentId ? current : other }
  })
  const bad = quarantined
    .filter((releaseId) => releaseId !== currentId)
    .map((releaseId): ReleasePart => ({ releaseId, is: ['quarantined'] }))
  return { version: 1, name, releases: [...kept, ...bad] }
}
