import type { CertificateRotation } from '../../identity/certificate-rotation.ts'
import { isOver, type RotationRecord } from '../../identity/rotation-record.ts'
import type { RotationActions } from '../../jobs/job-actions.ts'
import { jittered } from '../../lib/backoff.ts'
import { FailureLog } from '../../lib/failure-log.ts'
import type { Log } from '../../lib/log.ts'
import { Worker } from '../../lib/worker.ts'

export interface RotationWorkerOptions {
  readonly rotation: Pick<CertificateRotation, 'record'>
  readonly actions: RotationActions
  readonly rotateBeforeDays: number
  /** Of the certificate in use, in milliseconds since 1970. */
  readonly validity: () => Promise<{ readonly notBeforeMs: number; readonly notAfterMs: number }>
  /** Whether nothing else is on trial, which would be taken for what is at fault, or the other way round. */
  readonly isUndisturbed: () => boolean
  readonly cloudNow: () => number
  readonly log: Log
}

const dayMs = 86_400_000
const lookEveryMs = dayMs / 2
/** A session may begin on a whole fleet at once, and with a trial. */
const settleMs = 600_000
const rotateWithinMs = 900_000
/** Between two looks at least, by their jitter. */
const shortestRestMs = lookEveryMs / 2
/** After a failure that has left a certificate in the account: whatever is wrong must not fill that. */
const longestRestMs = 7 * dayMs

/**
 * Rotates the certificate when it is about to end. Certificates of one production batch end on the same day: half a day's jitter
 * spreads them. What fails is tried again half a day later, or, where it has left a certificate behind, as much as a week, whatever
 * sessions there are meanwhile.
 */
export function createRotationWorker(options: RotationWorkerOptions): Worker {
  const { rotation, actions, isUndisturbed, cloudNow, log } = options
  const failures = new FailureLog(log)
  let isFirst = true
  return new Worker({
    name: 'rotation',
    log,
    stepMs: rotateWithinMs * 2,
    runPass: async ({ signal }) => {
      const mayBegin = !isFirst && isUndisturbed()
      isFirst = false
      const known = rotation.record
      const isUnderWay = known !== undefined && !isOver(known) && known.id.startsWith(prefix)
      if (!isUnderWay && !mayBegin) return { nextInMs: jittered(settleMs, 0.5) }
      const nextInMs = jittered(lookEveryMs, 0.5)
      if (!isUnderWay && !(await isDue(options, known))) return { nextInMs }
      const id = isUnderWay ? known.id : `${prefix}${new Date(cloudNow()).toISOString()}`
      log.info('the certificate is rotated before it ends', { id })
      try {
        await rotate(actions, id, signal)
        return { nextInMs }
      } catch (fault) {
        if (signal.aborted) throw fault
        failures.failed('the certificate is not rotated', fault, orphanOf(rotation.record))
        return { nextInMs, fault }
      }
    },
  })
}

/** Not before half of its life is over, or a certificate whose life is short would be rotated for ever. */
async function isDue(
  { validity, cloudNow, rotateBeforeDays }: RotationWorkerOptions,
  last: RotationRecord | undefined,
): Promise<boolean> {
  const { notBeforeMs, notAfterMs } = await validity()
  const now = cloudNow()
  const leftMs = notAfterMs - now
  if (leftMs >= rotateBeforeDays * dayMs || leftMs > now - notBeforeMs) return false
  if (last?.state !== 'failed') return true
  const sinceMs = now - Date.parse(last.at)
  const restMs = last.orphanCertificateId === undefined ? 0 : Math.min(longestRestMs, leftMs / 8)
  return sinceMs < 0 || sinceMs >= Math.max(shortestRestMs, restMs) // a clock that was wrong must not stop it
}

function orphanOf(record: RotationRecord | undefined): { readonly orphan?: string } {
  const orphan = record?.state === 'failed' ? record.orphanCertificateId : undefined
  return orphan === undefined ? {} : { orphan }
}

const prefix = 'automatic '
const confirmSeconds = 300

async function rotate(actions: RotationActions, id: string, signal: AbortSignal): Promise<void> {
  const end = AbortSignal.any([signal, AbortSignal.timeout(rotateWithinMs)])
  try {
    await actions.begin({ id, confirmSeconds }, end)
  } catch (error) {
    if (!signal.aborted) await actions.giveUp(id, error instanceof Error ? error.message : 'it failed')
    throw error
  }
}
