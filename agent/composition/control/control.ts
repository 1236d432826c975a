import { join } from 'node:path'

import type * as IotCoreModule from '../../aws/iot-core.ts'
import { rotationTemplateOf } from '../../config/provisioning-config.ts'
import { controlActions, type ControlActionsOptions } from './control-actions.ts'
import type { RotationActions } from '../../jobs/job-actions.ts'
import { JobLedger } from '../../jobs/job-ledger.ts'
import { JobsWorker } from '../../jobs/jobs-worker.ts'
import { AgentError, reportError } from '../../lib/errors.ts'
import { patchBetween } from '../../lib/merge-patch.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { sleep } from '../../lib/sleep.ts'
import type { Worker } from '../../lib/worker.ts'
import { loadMqttClient } from './mqtt-client.ts'
import { rotationActions, type RotationActionsOptions } from '../session/rotation-actions.ts'
import { createRotationWorker } from '../session/rotation-worker.ts'
import { createShadowWorker } from '../../status/shadow-worker.ts'
import type { ControlEvidence } from '../configuration/trial-evidence.ts'

/** Resolves once AWS IoT Core has answered a question over the connection; throws an AgentError while it does not. */
export type ControlReach = (signal: AbortSignal) => Promise<void>

/** The agent's side of AWS IoT Core: jobs and the reported state, over one connection. */
export interface Control extends AsyncDisposable {
  readonly workers: readonly Worker[]
  readonly evidence: ControlEvidence
  readonly jobs: JobsWorker
  /** Resolves once AWS IoT Core has answered over the connection of this session. */
  readonly answered: (signal: AbortSignal) => Promise<void>
  readonly reach: ControlReach
  /** Of the connection. `sinceMs` is on the monotonic clock. */
  readonly connection: () => { readonly state: string; readonly sinceMs: number; readonly error?: unknown }
}

/** Why there is none, and since when, on the monotonic clock. */
export interface ControlFault {
  readonly error: AgentError
  readonly sinceMs: number
}

export interface ControlOptions extends Omit<ControlActionsOptions, 'rotation'> {
  readonly identities: Pick<RotationActionsOptions, 'rotation' | 'store' | 'leftOver'>
  readonly renewSession: () => void
  /** Called where the native client cannot be loaded. */
  readonly onFault: (fault: ControlFault) => void
}

/** After an update that failed. */
const proveAgainMs = 500

/**
 * Undefined where the configuration names no MQTT endpoint. The native client is loaded only where it does: it takes some
 * twenty megabytes. Undefined too where it cannot be loaded, which is logged and told: nothing else depends on it.
 */
export async function createControl(options: ControlOptions): Promise<Control | undefined> {
  const { session, generations, log } = options
  const { device, endpoints, paths, provisioning, jobs: settings } = generations.config
  if (endpoints.mqtt === undefined) return undefined
  const createIotCore = await loadIotCore(options)
  if (createIotCore === undefined) return undefined
  const core = createIotCore({
    endpoint: endpoints.mqtt,
    clientId: device.thingName,
    keepAliveSeconds: settings.keepAliveSeconds,
    loadIdentity: () => session.identity.load(),
    clockOffsetMs: () => session.clock.offsetMs(),
    dialer: session.network.dialer,
    serviceTrust: session.network.serviceTrust,
    counter: session.network.counter,
    onProxyChanged: options.restart,
    log: log.child({ worker: 'connection' }),
  })
  const rotation = rotationActions({
    ...options.identities,
    template: provisioning === undefined ? undefined : rotationTemplateOf(provisioning),
    thingName: device.thingName,
    certificate: async () => (await session.identity.load()).certificate,
    provisioning: (template) => core.provisioning(template),
    renewSession: options.renewSession,
    log: log.child({ worker: 'rotation' }),
  })
  const jobsLog = log.child({ worker: 'jobs' })
  const jobs = new JobsWorker({
    service: core.jobs,
    ledger: new JobLedger({ folder: join(paths.state, 'jobs'), log: jobsLog }),
    actions: controlActions({ ...options, rotation }),
    log: jobsLog,
  })
  const shadow = createShadowWorker({
    shadow: core.shadow,
    status: () => generations.status(),
    patchBetween,
    log: log.child({ worker: 'shadow' }),
  })
  return {
    workers: [jobs.worker, shadow.worker, ...rotationWorkers(options, rotation)],
    jobs,
    reach: async (signal) => {
      await core.jobs.next(signal)
    },
    answered: async (signal) => {
      while (!(await succeeds(() => core.jobs.next(signal), signal))) await sleep(proveAgainMs, signal)
    },
    connection: () => core.status(),
    evidence: controlEvidence(jobs, core),
    async [Symbol.asyncDispose]() {
      shadow[Symbol.dispose]()
      jobs[Symbol.dispose]()
      await core[Symbol.asyncDispose]()
    },
  }
}

async function loadIotCore({ log, onFault }: ControlOptions): Promise<typeof IotCoreModule.createIotCore | undefined> {
  try {
    const { createIotCore } = await loadMqttClient(() => import('../../aws/iot-core.ts'))
    return createIotCore
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    log.error('there are no jobs and no reported state', { error })
    onFault({ error, sinceMs: monotonicMs() })
    return undefined
  }
}

function rotationWorkers(
  { identities, session, generations, log }: ControlOptions,
  actions: RotationActions,
): readonly Worker[] {
  const { rotateBeforeDays } = generations.config.provisioning ?? {}
  if (rotateBeforeDays === undefined) return []
  const { rotation } = identities
  const validity = async (): ReturnType<typeof session.identity.load> => await session.identity.load()
  const isUndisturbed = (): boolean => generations.status().configuration?.state !== 'trial'
  const cloudNow = (): number => session.clock.now()
  const own = log.child({ worker: 'rotation' })
  return [createRotationWorker({ rotation, actions, rotateBeforeDays, validity, isUndisturbed, cloudNow, log: own })]
}

function controlEvidence(jobs: JobsWorker, core: Pick<IotCoreModule.IotCore, 'status'>): ControlEvidence {
  return {
    control: async (signal, job) => {
      for (;;) {
        await jobs.untilRunning(signal, job)
        if (await succeeds(() => jobs.proveControl(signal, job), signal)) return // not before its job is taken up again
        await sleep(proveAgainMs, signal)
      }
    },
    why: () => {
      const { error } = core.status()
      return error === undefined ? undefined : reportError(error).message
    },
  }
}

async function succeeds(attempt: () => Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  try {
    await attempt()
    return true
  } catch {
    signal.throwIfAborted()
    return false
  }
}
