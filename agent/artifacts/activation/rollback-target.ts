import { AgentError } from '../../lib/errors.ts'
import type { InstalledRelease } from '../release/installed-release.ts'

/**
 * The id of the release to go back to: the one before the current one, or the only kept one whose id begins with `to`.
 * Throws an AgentError, which names what is kept, when there is none or more than one.
 */
export function rollbackTarget(installed: InstalledRelease | undefined, to: string | undefined): string {
  const { record, others = [] } = installed ?? {}
  const kept = others.map(({ releaseId }) => releaseId)
  const hint = kept.length === 0 ? 'no other release is kept' : `kept are: ${kept.join(', ')}`
  if (to === undefined) {
    const previous = others.find(({ isPrevious }) => isPrevious)
    if (previous !== undefined) return previous.releaseId
    throw new AgentError('there is no release before the current one to go back to', { hint })
  }
  const found = [...kept, ...(record === undefined ? [] : [record.releaseId])].filter((id) => id.startsWith(to))
  const [target] = found
  if (target === undefined) throw new AgentError(`release ${to} is not kept`, { hint })
  if (found.length > 1) throw new AgentError(`more than one release begins with ${to}`, { hint })
  return target
}
