import { AgentError } from '../../lib/errors.ts'
import type { Quarantined } from './activation-state.ts'

/** A release did not become healthy. It needs another one from the source, or a person. */
class UnhealthyReleaseError extends AgentError {
  override readonly name = 'UnhealthyReleaseError'
}

/** A release in quarantine keeps the source from being followed. */
export function unhealthy({ releaseId, why }: Quarantined, currentId: string | undefined): UnhealthyReleaseError {
  const what = releaseId === currentId ? 'there was none to go back to' : 'it is not tried again'
  return new UnhealthyReleaseError(`release ${releaseId.slice(0, 12)} is not healthy (${why}), and ${what}`, {
    hint: 'publish a release that is mended; it is installed at the next pass',
  })
}

/** Nothing is there to mend the current release with. */
export function cannotMend(): AgentError {
  return new AgentError('the installed release is damaged, and the source does not wish it any more', {
    hint: 'publish a release, or go to another one: panorama-agent artifacts rollback NAME --to ID',
  })
}
