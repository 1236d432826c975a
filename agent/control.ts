import { join } from 'node:path'

import type * as IotCoreModule from './aws/iot-core.ts'
import type { JobExecutionId } from './config/overlay-version.ts'
import { controlActions, type ControlActionsOptions } from './control-actions.ts'
import { JobLedger } from './jobs/job-ledger.ts'
import { JobsWorker } from './jobs/jobs-worker.ts'
import { reportError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import { patchBetween } from './lib/merge-patch.ts'
import { sleep } from './lib/sleep.ts'
import type { Worker } from './lib/worker.ts'
import { createShadowWorker } from './status/shadow-worker.ts'
import type { ControlEvidence } from './trial-evidence.ts'

/** The agent's side of AWS IoT Core: jobs and the reported state, over one connection. */
export interface Control extends AsyncDisposable {
  readonly workers: readonly Worker[]
  readonly evidence: ControlEvidence
  readonly jobs: JobsWorker
  /** Of the connection. `sinceMs` is on the monotonic clock. */
  readonly connection: () => { readonly state: string; readonly sinceMs: number; readonly error?: unknown }
}

/** After an update that failed. */
const proveAgainMs = 500

/**
 * Undefined where the configuration names no MQTT endpoint. The native client is loaded only where it does: it takes some
 * twenty megabytes. Undefined too where it cannot be loaded, which is logged: nothing else depends on it.
 */
export async function createControl(options: ControlActionsOptions): Promise<Control | undefined> {
  const { session, generations, log } = options
  const { device, endpoints, paths, jobs: settings } = generations.config
  if (endpoints.mqtt === undefined) return undefined
  const createIotCore = await loadIotCore(log)
  if (createIotCore === undefined) return undefined
  const core = createIotCore({
    endpoint: endpoints.mqtt,
    clientId: device.thingName,
    keepAliveSeconds: settings.keepAliveSeconds,
    loadIdentity: () => session.identity.load(),
    clockOffsetMs: () => session.clock.offsetMs(),
    log: log.child({ worker: 'connection' }),
  })
  const jobsLog = log.child({ worker: 'jobs' })
  const jobs = new JobsWorker({
    service: core.jobs,
    ledger: new JobLedger({ folder: join(paths.state, 'jobs'), log: jobsLog }),
    actions: controlActions(options),
    log: jobsLog,
  })
  const shadow = createShadowWorker({
    shadow: core.shadow,
    status: () => generations.status(),
    patchBetween,
    log: log.child({ worker: 'shadow' }),
  })
  return {
    workers: [jobs.worker, shadow.worker],
    jobs,
    connection: () => core.status(),
    evidence: {
      control: async (signal, job) => {
        for (;;) {
          await jobs.untilRunning(signal, job)
          if (await isProven(jobs, signal, job)) return
          await sleep(proveAgainMs, signal)
        }
      },
      why: () => {
        const { error } = core.status()
        return error === undefined ? undefined : reportError(error).message
      },
    },
    async [Symbol.asyncDispose]() {
      shadow[Symbol.dispose]()
      jobs[Symbol.dispose]()
      await core[Symbol.asyncDispose]()
    },
  }
}

async function loadIotCore(log: Log): Promise<typeof IotCoreModule.createIotCore | undefined> {
  try {
    const { createIotCore } = await import('./aws/iot-core.ts')
    return createIotCore
  } catch (error) {
    log.error('there are no jobs and no reported state: the MQTT client cannot be loaded', { error })
    return undefined
  }
}

/** Not before the job that brought the change is taken up again, and its update was accepted. */
async function isProven(jobs: JobsWorker, signal: AbortSignal, job?: JobExecutionId): Promise<boolean> {
  try {
    await jobs.proveControl(signal, job)
    return true
  } catch {
    signal.throwIfAborted()
    return false
  }
}
