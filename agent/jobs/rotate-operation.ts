import { DeadlineError } from '../lib/errors.ts'
import type { JobName, RotationResult } from './job-actions.ts'
import type { OperationOf } from './job-document.ts'
import { failedBy, WithdrawnError, type OperationOutcome, type RunningJob } from './running-job.ts'

/**
 * Rotates the device certificate and waits for what comes of the trial of the new one, also over a restart. A job that
 * is withdrawn, or whose time is up, gives the new certificate up; the stop of the agent does not.
 */
export async function rotateCertificate(
  { confirmSeconds }: OperationOf<'rotate-certificate'>,
  job: RunningJob,
): Promise<OperationOutcome> {
  const { actions, signal } = job
  const id = rotationId(job)
  try {
    if (job.resumed?.name !== 'rotating') await job.step('rotating')
    await actions.rotation.begin({ id, confirmSeconds }, signal)
    job.progress({ step: 'trial', confirmSeconds })
    return ofRotation(await actions.rotation.settled(id, signal))
  } catch (error) {
    if (!isStop(signal)) await actions.rotation.giveUp(id, reasonOf(signal, error))
    const outcome = signal.aborted ? undefined : await actions.rotation.settled(id, signal).catch(() => undefined)
    if (outcome?.kind !== 'failed' || outcome.orphanCertificateId === undefined) throw error
    const { status, details } = failedBy(error)
    return { status, details: { ...details, orphanCertificateId: outcome.orphanCertificateId } }
  }
}

/** For a run that is not taken up again. Undefined where nothing came of it, or nothing is known of that any more. */
export async function giveUpRotation(
  job: JobName,
  reason: string,
  { actions, signal }: Pick<RunningJob, 'actions' | 'signal'>,
): Promise<OperationOutcome | undefined> {
  const id = rotationId(job)
  await actions.rotation.giveUp(id, reason)
  const outcome = await actions.rotation.settled(id, signal).catch(() => undefined)
  signal.throwIfAborted()
  return outcome === undefined ? undefined : ofRotation(outcome)
}

/** A job that is made anew under the id of one that was deleted is another rotation. */
function rotationId({ jobId, executionNumber, queuedAt }: JobName): string {
  return `${jobId} ${executionNumber} ${queuedAt}`
}

function ofRotation(outcome: RotationResult): OperationOutcome {
  if (outcome.kind === 'rotated') {
    const { certificateId, previousCertificateId } = outcome
    return { status: 'SUCCEEDED', details: { certificateId, deactivate: previousCertificateId } }
  }
  return { status: 'FAILED', details: { reason: outcome.reason, orphanCertificateId: outcome.orphanCertificateId } }
}

function isStop({ aborted, reason }: AbortSignal): boolean {
  return aborted && !(reason instanceof DeadlineError) && !(reason instanceof WithdrawnError)
}

function reasonOf({ aborted, reason }: AbortSignal, error: unknown): string {
  const cause: unknown = aborted ? reason : error
  return cause instanceof Error ? cause.message : String(cause)
}
