import type { Outcome } from '../outcome.ts'
import { done } from '../outcome.ts'
import type { InstallUpdateOptions } from './install-update.ts'
import { UpdateFolder } from './update-folder.ts'

/**
 * The agent of this version says that it works. Only the version on trial can, and not before dpkg is through with it:
 * `not-yet` is to be asked again.
 */
export function confirmUpdate(version: string, { update, owner }: InstallUpdateOptions): Outcome {
  const folder = new UpdateFolder(update.folder, owner)
  const trial = folder.trial()
  if (trial === undefined || trial.phase === 'ended') return { result: 'refused', code: 'no-trial' }
  if (version !== trial.to) return { result: 'refused', code: 'other-version' }
  if (trial.phase === 'reverting') return { result: 'refused', code: 'too-late' }
  if (trial.phase === 'installing') return { result: 'failed', code: 'not-yet' }
  folder.confirm(trial)
  return done
}
