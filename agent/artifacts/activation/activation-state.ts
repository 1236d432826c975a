import * as z from 'zod'

const gate = z.object({
  releaseId: z.string(),
  /** What to go back to. */
  previous: z.string().optional(),
  wishId: z.string(),
  /** How the application's file looked before the switch. */
  seen: z.string().optional(),
})
const quarantined = z.object({
  releaseId: z.string(),
  wishId: z.string(),
  /** How health was asked for, as JSON. */
  health: z.string(),
  at: z.iso.datetime(),
  why: z.string(),
})

/** `<folder>/activation.json`. One file, so that each decision is one rename. */
export const activationFile = z.object({
  version: z.literal(1),
  /** What the source wished when it was asked last. */
  wishId: z.string().optional(),
  /** A release that was, or is about to be, switched to and has not said yet that it is healthy. */
  gate: gate.optional(),
  /** The last release that said so. */
  healthy: z.string().optional(),
  quarantine: z.array(quarantined),
  /** An operator went back to this release, and away from what the source wished. */
  hold: z.object({ releaseId: z.string(), wishId: z.string().optional() }).optional(),
  /** What `current` is to name; a crash may have come in between. */
  goingTo: z.string().optional(),
  /** The tree of this release holds damaged files. */
  repair: z.string().optional(),
})

export type ActivationState = Readonly<z.infer<typeof activationFile>>
export type Gate = Readonly<z.infer<typeof gate>>
export type Quarantined = Readonly<z.infer<typeof quarantined>>

export type Verdict = { readonly healthy: true } | { readonly healthy: false; readonly why: string }

/** What is on the disk besides the state. */
export interface OnDisk {
  /** What `current` names. */
  readonly currentId: string | undefined
  readonly has: (releaseId: string) => boolean
  /** How health is asked for, as JSON; undefined when nobody asks. */
  readonly health: string | undefined
}

/** What has to be done next for `current` to be what the state says. */
export type Move =
  | { readonly kind: 'none' }
  | { readonly kind: 'switch'; readonly to: string }
  /** The gate has lost its release, or nobody asks for health any more. */
  | { readonly kind: 'drop-gate' }
  | { readonly kind: 'ask'; readonly gate: Gate }

const maxQuarantined = 16

export const emptyActivation: ActivationState = { version: 1, quarantine: [] }

/** Works after a crash at any point: every change of the state is written before what it says is done. */
export function nextMove({ gate, goingTo }: ActivationState, { currentId, has, health }: OnDisk): Move {
  if (goingTo !== undefined && goingTo !== currentId && has(goingTo)) return { kind: 'switch', to: goingTo }
  if (gate === undefined) return { kind: 'none' }
  if (gate.releaseId !== currentId || health === undefined) return { kind: 'drop-gate' }
  return { kind: 'ask', gate }
}

/** What the source wishes now. A hold ends when that is something else than at the time it began. */
export function withWish(state: ActivationState, wishId: string): ActivationState {
  const { hold } = state
  if (hold !== undefined && hold.wishId === undefined) return { ...state, wishId, hold: { ...hold, wishId } }
  if (hold !== undefined && hold.wishId !== wishId) return { ...without(state, 'hold'), wishId }
  return state.wishId === wishId ? state : { ...state, wishId }
}

/**
 * Why what the source wishes is not to be installed; undefined when it is. What is in quarantine is tried again when
 * the source wishes something else, or health is asked for in another way. Something is better than nothing.
 */
export function whyNotInstall(
  state: ActivationState,
  { currentId, health }: Pick<OnDisk, 'currentId' | 'health'>,
): 'held' | Quarantined | undefined {
  if (currentId === undefined) return undefined
  if (state.hold?.releaseId === currentId && state.hold.wishId === state.wishId) return 'held'
  return state.quarantine.findLast((entry) => entry.wishId === state.wishId && entry.health === health)
}

/**
 * Whether the current release is in quarantine for another wish, or another way to ask: as nothing is switched then,
 * nobody would ask again whether it is healthy.
 */
export function isInDoubt(state: ActivationState, onDisk: Pick<OnDisk, 'currentId' | 'health'>): boolean {
  const { currentId } = onDisk
  return currentId !== undefined && isQuarantined(state, currentId) && whyNotInstall(state, onDisk) === undefined
}

/** Before the switch to a release, or another try of the current one. Another wish for a release in quarantine is another try. */
export function installing(
  state: ActivationState,
  { releaseId, gate: opened }: { readonly releaseId: string; readonly gate: Gate | undefined },
): ActivationState {
  const next = without(state, 'hold', 'goingTo', 'gate')
  const quarantine = state.quarantine.filter((entry) => entry.releaseId !== releaseId)
  return { ...next, quarantine, ...(opened === undefined ? {} : { gate: opened }) }
}

export interface Judgement extends Pick<OnDisk, 'has' | 'health'> {
  readonly gate: Gate
  readonly verdict: Verdict
  /** ISO 8601. */
  readonly at: string
}

/** When the gate's time is over. Going back needs a release to go to: the first one stays, whatever it says. */
export function judged(
  state: ActivationState,
  { gate: asked, verdict, has, health = '', at }: Judgement,
): ActivationState {
  const { releaseId, wishId, previous } = asked
  const next = without(state, 'gate', 'goingTo')
  if (verdict.healthy) return { ...next, healthy: releaseId }
  const entry = { releaseId, wishId, health, at, why: verdict.why.slice(0, 500) }
  const quarantine = [...state.quarantine, entry].slice(-maxQuarantined)
  return { ...next, quarantine, ...(previous !== undefined && has(previous) ? { goingTo: previous } : {}) }
}

/** When an operator goes to a kept release. One in quarantine is believed in again: who names it has a reason. */
export function wentTo(state: ActivationState, releaseId: string): ActivationState {
  const { wishId } = state
  const quarantine = state.quarantine.filter((entry) => entry.releaseId !== releaseId)
  const hold = { releaseId, ...(wishId === undefined ? {} : { wishId }) }
  return { ...without(state, 'gate'), quarantine, hold, goingTo: releaseId }
}

export function isQuarantined({ quarantine }: ActivationState, releaseId: string): boolean {
  return quarantine.some((entry) => entry.releaseId === releaseId)
}

/** A copy without some optional fields. */
export function without(
  state: ActivationState,
  ...names: readonly ('gate' | 'hold' | 'goingTo' | 'repair')[]
): ActivationState {
  const copy = { ...state }
  for (const name of names) Reflect.deleteProperty(copy, name)
  return copy
}
