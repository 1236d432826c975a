import type { Provisioner } from '../composition/first-boot/claim-provisioner.ts'
import type { ProvisioningStep } from '../identity/provisioning-step.ts'
import type { StoredIdentity } from '../identity/stored-identity.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'

export interface ForegroundOptions {
  readonly provision: Provisioner
  readonly log: Log
  readonly signal: AbortSignal
}

/** No try begins later than this after the first: somebody waits in front of the screen. */
const retryWithinMs = 60_000
const firstWaitMs = 2_000
const longestWaitMs = 15_000

/**
 * Provisions by claim while somebody waits: what may pass by itself is tried again for a minute, and said each time. Each step is said once,
 * however often it is tried. Throws the last failure, or the signal's reason.
 */
export async function provisionInForeground({ provision, log, signal }: ForegroundOptions): Promise<StoredIdentity> {
  const endMs = monotonicMs() + retryWithinMs
  let said: ProvisioningStep | undefined
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    try {
      return await provision(signal, (step) => {
        if (step !== said) log.info('provisioning', { step })
        said = step
      })
    } catch (error) {
      signal.throwIfAborted()
      const mayPass = error instanceof AgentError && error.retryable
      if (!mayPass || monotonicMs() + waitMs > endMs) throw error
      log.warn('provisioning failed, and is tried again', { error, inSeconds: waitMs / 1_000 })
      await sleep(waitMs, signal)
    }
  }
}
