/** A version of the agent on trial, as it stands in `trial.json`. */
export interface Trial {
  readonly version: 1
  /** Of the request that began it. */
  readonly id: string
  /** Versions of the package. */
  readonly from: string
  readonly to: string
  /** How long the new version may take to confirm itself, in seconds of running time. */
  readonly confirmSeconds: number
  readonly phase: 'installing' | 'watching' | 'reverting' | 'ended'
  /** How often the phase was begun: more than once when it was cut off or failed. */
  readonly begun: number
  readonly outcome?: TrialOutcome
  /** Why the version was not kept. */
  readonly reason?: string
}

/** `stuck`: it was not kept, and the way back failed as well. */
export type TrialOutcome = 'confirmed' | 'rolled-back' | 'stuck'

export type TrialEvent =
  /** The program that runs the trial was started, whether for the first time or after a power cut. */
  | { readonly kind: 'started'; readonly isConfirmed: boolean }
  | { readonly kind: 'installed' }
  | { readonly kind: 'confirmed' }
  /** The version cannot be installed, did not start, or has not confirmed itself. */
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'reverted' }
  /** Somebody has installed yet another version meanwhile. */
  | { readonly kind: 'replaced'; readonly version: string }
  | { readonly kind: 'not-reverted'; readonly reason: string }

const mostBegun = 3
const mostReverts = 10

/**
 * What a trial is after an event. What does not fit the phase changes nothing, so that an event may come twice. From any
 * phase a bounded number of events leads to `ended`.
 */
export function step(trial: Trial, event: TrialEvent): Trial {
  switch (trial.phase) {
    case 'installing':
      return ofInstalling(trial, event)
    case 'watching':
      return ofWatching(trial, event)
    case 'reverting':
      return ofReverting(trial, event)
    case 'ended':
      return trial
  }
}

function ofInstalling(trial: Trial, event: TrialEvent): Trial {
  if (event.kind === 'installed') return { ...trial, phase: 'watching', begun: 1 }
  if (event.kind === 'failed') return reverting(trial, event.reason)
  if (event.kind !== 'started') return trial
  return again(trial, `its installation was cut off ${mostBegun} times`)
}

function ofWatching(trial: Trial, event: TrialEvent): Trial {
  if (event.kind === 'confirmed') return { ...trial, phase: 'ended', outcome: 'confirmed' }
  if (event.kind === 'failed') return reverting(trial, event.reason)
  if (event.kind !== 'started') return trial
  if (event.isConfirmed) return { ...trial, phase: 'ended', outcome: 'confirmed' }
  return again(trial, `not confirmed in ${mostBegun} runs of the appliance`)
}

function ofReverting(trial: Trial, event: TrialEvent): Trial {
  if (event.kind === 'reverted') return { ...trial, phase: 'ended', outcome: 'rolled-back' }
  if (event.kind === 'replaced') {
    const reason = `${trial.reason ?? 'not kept'}; version ${event.version}, which was installed meanwhile, stays`
    return { ...trial, phase: 'ended', outcome: 'rolled-back', reason }
  }
  if (event.kind === 'started') return { ...trial, begun: trial.begun + 1 }
  if (event.kind !== 'not-reverted') return trial
  if (trial.begun < mostReverts) return { ...trial, begun: trial.begun + 1 }
  const reason = `${trial.reason ?? 'not kept'}; the version before cannot be installed either: ${event.reason}`
  return { ...trial, phase: 'ended', outcome: 'stuck', reason }
}

function again(trial: Trial, reason: string): Trial {
  return trial.begun < mostBegun ? { ...trial, begun: trial.begun + 1 } : reverting(trial, reason)
}

function reverting(trial: Trial, reason: string): Trial {
  return { ...trial, phase: 'reverting', begun: 1, reason }
}
