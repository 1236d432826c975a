import type { Config } from '../../config/config-schema.ts'
import type { ControlReach } from './control.ts'
import { FailureLog } from '../../lib/failure-log.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { Worker } from '../../lib/worker.ts'
import type { RootRequests } from '../../root-requests/root-requests.ts'
import type { UpdateReports, UpdateTrial } from '../../root-requests/update-reports.ts'

export interface UpdateConfirmationOptions {
  /** Of this agent. */
  readonly version: string
  readonly reports: Pick<UpdateReports, 'trial' | 'last'>
  readonly requests: RootRequests
  /** Whether credentials are held that this process fetched. */
  readonly hasCredentials: () => boolean
  /** Resolves once AWS IoT Core has answered a question. */
  readonly reach: ControlReach
  readonly log: Log
  /** Default 2 s. */
  readonly askAgainMs?: number
}

const defaultAskAgainMs = 2_000
/** What a job does not ask for, which looks itself, may be seen that late. */
const idleMs = 60_000
const stepMs = 180_000

/**
 * While this version is on trial: tells root that it works, once it has credentials and AWS IoT Core answers. Keeps what is
 * known of updates as it is on disk, whichever version is on trial.
 */
export function updateConfirmation(options: UpdateConfirmationOptions): Worker {
  const { log, askAgainMs = defaultAskAgainMs } = options
  const failures = new FailureLog(log)
  let settledId: string | undefined
  return new Worker({
    name: 'update',
    log,
    stepMs,
    runPass: async ({ signal }) => {
      const trial = await options.reports.trial()
      const isOpen = isToBeConfirmed(trial, options.version) && trial.id !== settledId
      if (isOpen && (await confirm(options, trial, { failures, signal }))) settledId = trial.id
      await options.reports.last()
      return { nextInMs: trial === undefined ? idleMs : askAgainMs }
    },
  })
}

/** Without an MQTT endpoint nothing is to be reached; with one, an agent whose MQTT client cannot be loaded reaches nothing. */
export function reachOf(
  { endpoints }: { readonly endpoints: Pick<Config['endpoints'], 'mqtt'> },
  control: { readonly reach: ControlReach } | undefined,
): ControlReach {
  if (control !== undefined) return control.reach
  if (endpoints.mqtt === undefined) return () => Promise.resolve()
  return () => Promise.reject(new AgentError('there is no control connection', { retryable: true }))
}

function isToBeConfirmed(trial: UpdateTrial | undefined, version: string): trial is UpdateTrial {
  return trial?.to === version && (trial.phase === 'installing' || trial.phase === 'watching')
}

/** Answers whether there is nothing more to do. */
async function confirm(
  { version, requests, hasCredentials, reach, log }: UpdateConfirmationOptions,
  trial: UpdateTrial,
  { failures, signal }: { readonly failures: FailureLog; readonly signal: AbortSignal },
): Promise<boolean> {
  if (!hasCredentials()) return false
  await reach(signal)
  const { result, code } = await requests.request({ verb: 'confirm-update', argument: version }, signal)
  if (result === 'done') {
    log.info('this version of the agent works: the update is confirmed', { from: trial.from, to: version })
    return true
  }
  if (code !== 'not-yet')
    failures.failed('the update cannot be confirmed', new AgentError(`confirm-update: ${result}, ${code}`), {})
  return result === 'refused'
}
