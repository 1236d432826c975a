import { isQuarantined, type ActivationState } from './activation-state.ts'

/** For the status document. */
export interface ActivationStatus {
  readonly isHeld: boolean
  /** Of the installed release; undefined when nobody asks. */
  readonly health: 'asking' | 'healthy' | 'unhealthy' | undefined
  /** Release ids. */
  readonly quarantined: readonly string[]
}

/** `currentId` is what `current` names. */
export function activationStatus(state: ActivationState, currentId: string | undefined): ActivationStatus {
  return {
    isHeld: state.hold !== undefined && state.hold.releaseId === currentId,
    health: healthOf(state, currentId),
    quarantined: state.quarantine.map(({ releaseId }) => releaseId),
  }
}

function healthOf(state: ActivationState, releaseId: string | undefined): ActivationStatus['health'] {
  if (releaseId === undefined) return undefined
  if (state.gate?.releaseId === releaseId) return 'asking'
  if (isQuarantined(state, releaseId)) return 'unhealthy'
  return state.healthy === releaseId ? 'healthy' : undefined
}
