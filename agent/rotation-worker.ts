import type { CertificateRotation } from './identity/certificate-rotation.ts'
import { isOver } from './identity/rotation-record.ts'
import type { RotationActions } from './jobs/job-actions.ts'
import { jittered } from './lib/backoff.ts'
import type { Log } from './lib/log.ts'
import { Worker } from './lib/worker.ts'

export interface RotationWorkerOptions {
  readonly rotation: Pick<CertificateRotation, 'record'>
  readonly actions: RotationActions
  readonly rotateBeforeDays: number
  /** When the certificate in use ends, in milliseconds since 1970. */
  readonly notAfterMs: () => Promise<number>
  readonly cloudNow: () => number
  readonly log: Log
}

const dayMs = 86_400_000
const lookEveryMs = dayMs / 2
const rotateWithinMs = 900_000

/**
 * Rotates the certificate when it is about to end. Certificates of one production batch end on the same day: half a day's jitter
 * spreads them, and what fails is tried again half a day later.
 */
export function createRotationWorker(options: RotationWorkerOptions): Worker {
  const { rotation, actions, rotateBeforeDays, notAfterMs, cloudNow, log } = options
  return new Worker({
    name: 'rotation',
    log,
    stepMs: rotateWithinMs * 2,
    runPass: async ({ signal }) => {
      const leftMs = (await notAfterMs()) - cloudNow()
      const known = rotation.record
      const isUnderWay = known !== undefined && !isOver(known) && known.id.startsWith(prefix)
      if (isUnderWay || leftMs < rotateBeforeDays * dayMs) {
        const id = isUnderWay ? known.id : `${prefix}${new Date(cloudNow()).toISOString()}`
        log.info('the certificate is rotated before it ends', { daysLeft: Math.floor(leftMs / dayMs) })
        await rotate(actions, id, signal)
      }
      return { nextInMs: jittered(lookEveryMs, 0.5) }
    },
    backoff: { baseMs: lookEveryMs, capMs: lookEveryMs, floorMs: lookEveryMs / 4 },
  })
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
