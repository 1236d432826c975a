import type { TrialEvidence } from './config-trial.ts'
import { sleep } from './lib/sleep.ts'
import type { Session } from './session.ts'

/** What whoever has the control connection of a session knows. */
export type ControlEvidence = Pick<TrialEvidence, 'control' | 'why'>

const lookEveryMs = 250

/**
 * The evidence of a session: its own credentials, in a new session those that it fetched itself, and what the control
 * connection shows. Without one, nothing is ever confirmed.
 */
export function sessionEvidence({ credentials }: Session, control: () => ControlEvidence | undefined): TrialEvidence {
  const inUse = credentials.at(-1)
  return {
    credentials: async (signal) => {
      while (inUse?.status().held === undefined) await sleep(lookEveryMs, signal)
    },
    control: (signal) => (control() ?? noControl).control(signal),
    why: () => {
      const failing = credentials.find(({ worker }) => worker.health().state === 'failing')
      return failing?.worker.health().lastError?.message ?? (control() ?? noControl).why?.()
    },
  }
}

const noControl: ControlEvidence = {
  control: async (signal) => {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => {
      reject(signal.reason)
    })
    await promise
  },
  why: () => 'there is no control connection',
}
