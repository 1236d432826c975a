import type { TrialEvidence } from './config-trial.ts'
import type { RoleCredentials } from '../../credentials/role-credentials.ts'
import { untilAborted } from '../../lib/abort.ts'
import type { Session } from '../session/session.ts'

/** What whoever has the control connection of a session knows. */
export type ControlEvidence = Pick<TrialEvidence, 'control' | 'why'>

/**
 * The evidence of a session: its own credentials, in a new session those that it fetched itself, and what the control
 * connection shows. Without one, nothing is ever confirmed.
 */
export function sessionEvidence(
  { credentials }: Pick<Session, 'credentials'>,
  control: () => ControlEvidence | undefined,
): TrialEvidence {
  const inUse = credentials.at(-1)
  return {
    credentials: async (signal) => {
      if (inUse !== undefined) await areHeld(inUse, signal)
    },
    control: (signal, job) => (control() ?? noControl).control(signal, job),
    why: () => {
      const failing = credentials.find(({ worker }) => worker.health().state === 'failing')
      return failing?.worker.health().lastError?.message ?? (control() ?? noControl).why?.()
    },
  }
}

async function areHeld(credentials: RoleCredentials, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { promise: renewed, resolve } = Promise.withResolvers<undefined>()
    using _ = credentials.onRenewed(() => {
      resolve(undefined)
    })
    if (credentials.status().held !== undefined) return
    await untilAborted(renewed, signal)
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
