/** What a try of a credential on the camera came to. */
export type Tried =
  | 'accepted'
  | 'refused'
  /** The camera could not be reached, or its answer did not tell. */
  | 'unreachable'
  | 'unclear'
  /** It was not tried, because the camera's host has had its refused attempts for the time being. */
  | 'withheld'

/** How the credential in the camera's file compares with the secret's AWSCURRENT. */
export type Held =
  | 'none'
  /** It is this version. */
  | 'current'
  /** It is this version, written without the camera having taken it. */
  | 'current-unproven'
  /** Another version that says the same. */
  | 'same-credential'
  /** Another one for the same camera host, so that it can be compared there. */
  | 'same-host'
  | 'other-host'

/** All that the decision depends on; what is undefined is not known yet. */
export interface SwapFacts {
  /** Whether the new credential is to be tried, and can be. */
  readonly isProbed: boolean
  readonly whenUnreachable: 'wait' | 'swap'
  readonly held: Held
  /** The camera refused the new credential before, and has not taken it since. */
  readonly wasRefused?: boolean
  /** `not-due`: it was refused before, and it is not time to try again. */
  readonly current?: Tried | 'not-due'
  /** Of the credential in the file. */
  readonly heldTried?: Tried
  /** AWSPREVIOUS: `none` also where it cannot be tried, `same` when it is one of the two. */
  readonly previous?: 'none' | 'same' | 'other' | 'unreadable'
  readonly previousTried?: Tried
}

export type SwapStep =
  | { readonly do: 'probe'; readonly what: 'current' | 'held' | 'previous' }
  | { readonly do: 'read-previous' }
  | { readonly do: 'swap'; readonly to: 'current' | 'previous'; readonly because: SwapReason }
  | { readonly do: 'keep'; readonly because: KeepReason }

export type SwapReason = 'unprobed' | 'same-credential' | 'accepted' | 'unreachable' | 'untold'

export type KeepReason =
  /** All is well: nothing to do. */
  | 'current'
  /** The file's version, which nobody had tried, was taken by the camera now. */
  | 'proven'
  | 'unproven'
  | 'not-due'
  | 'withheld'
  | 'unreachable'
  /** The camera refuses the new credential and takes the one in the file. */
  | 'rotation-pending'
  /** The camera refuses the new credential; whether it takes the one in the file could not be told. */
  | 'refused'
  /** The camera refuses the new credential, and nothing better is known. */
  | 'all-refused'

/**
 * What comes next on the way from a new version of a secret to a camera's file: asked again with each thing learnt, until
 * it answers `swap` or `keep`. A credential that was refused is never swapped to, a version that is AWSPENDING not known
 * here at all.
 */
export function nextStep(facts: SwapFacts): SwapStep {
  const { held, isProbed, current } = facts
  if (held === 'current') return keep('current')
  if (!isProbed) return held === 'current-unproven' ? keep('proven') : swapToCurrent('unprobed')
  if (held === 'same-credential') return swapToCurrent('same-credential')
  if (current === undefined) return { do: 'probe', what: 'current' }
  switch (current) {
    case 'accepted':
      return held === 'current-unproven' ? keep('proven') : swapToCurrent('accepted')
    case 'not-due':
      return keep('not-due')
    case 'refused':
      return afterRefusal(facts)
    case 'unreachable':
    case 'unclear':
    case 'withheld':
      return withoutAnswer(facts, current)
  }
}

function withoutAnswer(facts: SwapFacts, tried: 'unreachable' | 'unclear' | 'withheld'): SwapStep {
  const { held, whenUnreachable, wasRefused } = facts
  if (held === 'current-unproven') return keep('unproven')
  if (wasRefused === true) return keep(tried === 'withheld' ? 'withheld' : 'unreachable')
  if (held === 'none') return swapToCurrent('untold')
  if (tried === 'withheld') return keep('withheld')
  return whenUnreachable === 'swap' ? swapToCurrent('unreachable') : keep('unreachable')
}

function afterRefusal(facts: SwapFacts): SwapStep {
  const { held, heldTried } = facts
  if (held !== 'same-host') return withPrevious(facts)
  if (heldTried === undefined) return { do: 'probe', what: 'held' }
  switch (heldTried) {
    case 'accepted':
      return keep('rotation-pending')
    case 'refused':
      return withPrevious(facts)
    case 'unreachable':
    case 'unclear':
    case 'withheld':
      return keep('refused')
  }
}

function withPrevious({ previous, previousTried }: SwapFacts): SwapStep {
  if (previous === undefined) return { do: 'read-previous' }
  if (previous !== 'other') return keep('all-refused')
  if (previousTried === undefined) return { do: 'probe', what: 'previous' }
  return previousTried === 'accepted' ? { do: 'swap', to: 'previous', because: 'accepted' } : keep('all-refused')
}

function keep(because: KeepReason): SwapStep {
  return { do: 'keep', because }
}

function swapToCurrent(because: SwapReason): SwapStep {
  return { do: 'swap', to: 'current', because }
}
