import { DeadlineError } from '../lib/errors.ts'
import type { ConfigureOutcome, ConfigureRequest, DryRunAnswer, JobName, RefusedConfigure } from './job-actions.ts'
import type { OperationOf } from './job-document.ts'
import { WithdrawnError, type OperationOutcome, type RunningJob } from './running-job.ts'

const proposing = 'proposing'

/**
 * Puts a version of the configuration on trial and waits for what comes of it. A run that was cut off after that is finished
 * by what stands on disk: accepted, reverted, or still on trial; one that was cut off before has changed nothing, and
 * begins anew.
 */
export async function configure(operation: OperationOf<'configure'>, job: RunningJob): Promise<OperationOutcome> {
  const { jobId, executionNumber, queuedAt, actions, signal } = job
  const name = { jobId, executionNumber, queuedAt }
  const before = job.resumed?.name === proposing ? await settled(job) : undefined
  if (before !== undefined) return ofTrial(before)
  const { patch, replace, expectedVersion, confirmSeconds } = operation
  const request: ConfigureRequest = { job: name, patch, replace, expectedVersion, confirmSeconds }
  if (operation.dryRun) return ofDryRun(await actions.configure.dryRun(request, signal))
  await job.step(proposing)
  const answer = await actions.configure.propose(request, signal)
  if (answer.kind !== 'trial') return ofRefusal(answer)
  // after a slow disk: whoever waited for the end of this operation has gone on
  if (signal.reason instanceof WithdrawnError) await actions.configure.revert(name, 'the job was withdrawn')
  job.progress({ step: 'trial', version: answer.number, confirmSeconds })
  const outcome = await settled(job)
  return outcome === undefined
    ? { status: 'FAILED', details: { reason: 'the trial ended without a trace', version: answer.number } }
    : ofTrial(outcome)
}

/**
 * For a run that is not taken up again: takes back what is on trial, and says what came of the configuration. Undefined
 * where nothing was changed.
 */
export async function giveUpConfigure(
  { jobId, executionNumber, queuedAt }: JobName,
  reason: string,
  { actions, signal }: Pick<RunningJob, 'actions' | 'signal'>,
): Promise<OperationOutcome | undefined> {
  const job = { jobId, executionNumber, queuedAt }
  await actions.configure.revert(job, reason)
  const outcome = await actions.configure.settled(job, signal)
  return outcome === undefined ? undefined : ofTrial(outcome)
}

/** A job whose time is up takes its trial back, as one does that is withdrawn; the stop of the agent does not. */
async function settled({
  jobId,
  executionNumber,
  queuedAt,
  actions,
  signal,
}: RunningJob): Promise<ConfigureOutcome | undefined> {
  const job = { jobId, executionNumber, queuedAt }
  try {
    return await actions.configure.settled(job, signal)
  } catch (error) {
    const reason: unknown = signal.reason
    if (reason instanceof DeadlineError) await actions.configure.revert(job, 'the time of the job was up')
    throw error
  }
}

function ofTrial(outcome: ConfigureOutcome): OperationOutcome {
  return outcome.kind === 'accepted'
    ? { status: 'SUCCEEDED', details: { version: outcome.number } }
    : { status: 'FAILED', details: { reason: outcome.reason, revertedVersion: outcome.number } }
}

function ofRefusal(answer: RefusedConfigure): OperationOutcome {
  switch (answer.kind) {
    case 'unchanged':
      return { status: 'SUCCEEDED', details: { version: answer.number, changes: 'none' } }
    case 'conflict':
      return { status: 'REJECTED', details: { reason: 'another version is in force', version: answer.number } }
    case 'invalid':
      return { status: 'REJECTED', details: { faults: faultsText(answer.faults) } }
  }
}

function ofDryRun(answer: DryRunAnswer): OperationOutcome {
  if (answer.kind !== 'changes') return ofRefusal(answer)
  const changes = answer.changes.map(({ path, from, to }) => `${path}: ${from} -> ${to}`).join('; ')
  return { status: 'SUCCEEDED', details: { dryRun: 'yes', changes } }
}

/** Every fault with its path, as far as a detail is long. */
export function faultsText(faults: readonly { readonly path: string; readonly message: string }[]): string {
  return faults.map(({ path, message }) => `${path === '' ? '(whole document)' : path}: ${message}`).join('; ')
}
