import { NotReadyError, type Provisioner } from './claim-provisioner.ts'
import type { ConsoleMessage } from './console-message.ts'
import type { ProvisioningStep } from '../../identity/provisioning-step.ts'
import type { StoredIdentity } from '../../identity/stored-identity.ts'
import { backoffMs, jittered, type Backoff } from '../../lib/backoff.ts'
import { AgentError, reportError } from '../../lib/errors.ts'
import { FailureLog } from '../../lib/failure-log.ts'
import type { Log } from '../../lib/log.ts'
import { Worker } from '../../lib/worker.ts'

export interface ProvisioningWorkerOptions {
  readonly provision: Provisioner
  readonly console: Pick<ConsoleMessage, 'show'>
  readonly log: Log
  readonly onProvisioned: (identity: StoredIdentity) => void
  /** Default from seconds up to a quarter of an hour, and longer at first where too many ask; less in tests. */
  readonly backoff?: Backoff | undefined
}

export interface ProvisioningWorker {
  readonly worker: Worker
  /** What is being done, or was last. */
  readonly step: () => ProvisioningStep
}

/**
 * A factory floor may switch thousands on at once, and RegisterThing takes 10 a second of an account. How many there are, none of
 * them can know. With waits that grow by half, the longest is about the time since the beginning: the last one comes at the
 * latest after about as long again as it took until there was room for all. Doubled, it would be twice as long.
 */
const defaultBackoff: Backoff = { baseMs: 5_000, capMs: 900_000, floorMs: 1_000, factor: 1.5 }
/** Who is turned away because there are too many waits as after so many failures: shorter waits would lead to more of the same. */
const failuresWhenOverloaded = 4
/** For what a person may bring at any time, and that costs nothing to look at. */
const lookAgainMs = 30_000
/** The longest step has two connections and two requests. */
const stepMs = 240_000
const neverMs = 86_400_000

/** Tries to get an identity until there is one, and says at once, in full, why there is none: in the journal and on the console. */
export function createProvisioningWorker(options: ProvisioningWorkerOptions): ProvisioningWorker {
  const { provision, console, log, onProvisioned, backoff = defaultBackoff } = options
  const failures = new FailureLog(log)
  let step: ProvisioningStep = 'make-key'
  let failed = 0
  const worker = new Worker({
    name: 'provisioning',
    log,
    stepMs,
    runPass: async ({ signal, beat }) => {
      try {
        const identity = await provision(signal, (next) => {
          step = next
          beat(stepMs)
        })
        const { thingName, certificateId } = identity
        log.info('the appliance is provisioned', { thingName, certificateId })
        await console.show(`provisioned as ${thingName}`)
        onProvisioned(identity)
        return { nextInMs: neverMs }
      } catch (fault) {
        if (signal.aborted) throw fault
        failures.failed('the appliance is not provisioned', fault, { step })
        await console.show(consoleText(fault))
        if (fault instanceof NotReadyError) return { nextInMs: jittered(lookAgainMs, 0.2), fault }
        failed = isOverloaded(fault) ? Math.max(failed + 1, failuresWhenOverloaded) : failed + 1
        return { nextInMs: backoffMs(failed - 1, backoff), fault }
      }
    },
  })
  return { worker, step: () => step }
}

function isOverloaded(fault: unknown): boolean {
  return fault instanceof AgentError && fault.isOverloaded
}

function consoleText(fault: unknown): string {
  const { message, hint } = reportError(fault)
  return `this appliance is not provisioned: ${message}${hint === undefined ? '' : ` - ${hint}`}`
}
