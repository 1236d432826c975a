import { withDeadline } from '../lib/abort.ts'
import { DeadlineError } from '../lib/errors.ts'
import { giveUpConfigure } from './configure-operation.ts'
import type { JobActions } from './job-actions.ts'
import type { JobOutcome, LedgerEntry } from './job-ledger.ts'
import { giveUpRotation } from './rotate-operation.ts'
import { failed, type OperationOutcome } from './running-job.ts'
import { ended, withdrawn } from './taken-job.ts'

export interface GivingUp {
  readonly actions: JobActions
  /** How long the end of a trial is waited for. */
  readonly withinMs: number
  readonly signal: AbortSignal
}

/** What is on trial goes with its job. What was confirmed before has shown that it works, and stays. */
export async function takeBack(entry: LedgerEntry, giving: GivingUp): Promise<JobOutcome> {
  try {
    const outcome = await endTrial(entry, 'the job was withdrawn', giving)
    return outcome?.status === 'SUCCEEDED' ? ended(outcome) : withdrawn
  } catch (error) {
    if (error instanceof DeadlineError) return withdrawn // a disk that does not take the revert yet holds up no job
    throw error
  }
}

/** The status must be the one of the configuration that is in force afterwards, or of the certificate. */
export async function giveUp(entry: LedgerEntry, reason: string, giving: GivingUp): Promise<JobOutcome> {
  return ended((await endTrial(entry, reason, giving)) ?? failed(reason))
}

async function endTrial(
  entry: LedgerEntry,
  reason: string,
  { actions, withinMs, signal }: GivingUp,
): Promise<OperationOutcome | undefined> {
  const end = { configure: giveUpConfigure, 'rotate-certificate': giveUpRotation }
  const { operation } = entry
  if (operation !== 'configure' && operation !== 'rotate-certificate') return undefined
  return await withDeadline(
    { signal, withinMs, what: 'the end of the trial' },
    async (inner) => await end[operation](entry, reason, { actions, signal: inner }),
  )
}
