import type { PendingIdentity } from './pending-identity.ts'

/** What the appliance wants to become; of an identity that is registered already, that is decided. */
export interface WantedIdentity {
  readonly template: string
  readonly clientId: string
}

export interface ProvisioningState {
  readonly pending: PendingIdentity | undefined
  /** The id of the current version of the identity. */
  readonly currentId: string | undefined
  readonly wanted: WantedIdentity
}

export type ProvisioningStep =
  | 'make-key'
  | 'get-certificate'
  | 'register'
  /** Whether RegisterThing took effect is not known. */
  | 'settle'
  | 'adopt'
  | 'prove'
  /** What is pending leads nowhere. */
  | 'begin-anew'
  | 'done'

/** What comes next, by what is on the disk alone: so it is the same after a power cut. */
export function nextStep({ pending, currentId, wanted }: ProvisioningState): ProvisioningStep {
  if (pending === undefined) return currentId === undefined ? 'make-key' : 'done'
  if (pending.kind !== 'claim') return 'begin-anew'
  if (pending.step === 'registered') return pending.certificateId === currentId ? 'prove' : 'adopt'
  if (pending.template !== wanted.template || pending.clientId !== wanted.clientId) return 'begin-anew'
  if (pending.step === 'key') return 'get-certificate'
  return pending.isAsked === true ? 'settle' : 'register'
}
