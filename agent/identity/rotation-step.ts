import type { PendingIdentity } from './pending-identity.ts'
import type { WantedIdentity } from './provisioning-step.ts'

export type RotationStep =
  | 'make-key'
  | 'get-certificate'
  | 'register'
  /** The certificate is registered: what comes of it is seen by using it. */
  | 'try'
  /** What is pending leads nowhere. */
  | 'begin-anew'

/** What comes next, by what is on the disk alone: so it is the same after a power cut. */
export function rotationStep(pending: PendingIdentity | undefined, wanted: WantedIdentity): RotationStep {
  if (pending === undefined) return 'make-key'
  const isWanted = pending.template === wanted.template && pending.clientId === wanted.clientId
  if (pending.kind !== 'rotation' || !isWanted) return 'begin-anew'
  switch (pending.step) {
    case 'key':
      return 'get-certificate'
    case 'certificate':
      return 'register'
    case 'registered':
      return 'try'
  }
}
