import { isNoSpace } from './durable.ts'
import { step, type Trial, type TrialEvent } from './trial.ts'

/** What a trial does to the appliance. Each may be cut off anywhere, and is then done again. */
export interface TrialWorld {
  /** As it stands on disk; undefined when there is none. */
  readonly load: () => Trial | undefined
  /** On disk when it returns. Throws when it cannot be written. */
  readonly save: (trial: Trial) => void
  readonly isConfirmed: (trial: Trial) => boolean
  readonly install: (trial: Trial) => Promise<TrialEvent>
  /** Resolves when the new version has confirmed itself, or has failed. Rejects on abort. */
  readonly watch: (trial: Trial, signal: AbortSignal) => Promise<TrialEvent>
  readonly revert: (trial: Trial) => Promise<TrialEvent>
  /** Between two tries to go back. */
  readonly rest: (trial: Trial, signal: AbortSignal) => Promise<void>
  /** Tells the end, and removes the trial. Also when there is none any more. */
  readonly settle: (trial: Trial | undefined) => Promise<void>
}

/**
 * Takes a trial to its end from wherever it stands, saving each step before the next is done. Rejects on abort, between
 * two steps or while it watches: the next run goes on from there.
 */
export async function runTrial(world: TrialWorld, signal: AbortSignal): Promise<void> {
  let trial = world.load()
  let event: TrialEvent | undefined = trial && { kind: 'started', isConfirmed: world.isConfirmed(trial) }
  while (trial !== undefined && event !== undefined) {
    const next = step(trial, event)
    const fault = next === trial ? undefined : saveOrFault(next, world)
    if (fault === undefined) trial = next
    signal.throwIfAborted()
    event = fault ?? (await nextEvent(trial, world, signal))
  }
  await world.settle(trial)
}

/** A version that leaves no room for the next step of its trial is not watched, but taken back, which makes room. */
function saveOrFault(trial: Trial, world: TrialWorld): TrialEvent | undefined {
  try {
    world.save(trial)
    return undefined
  } catch (error) {
    if (trial.phase !== 'watching' || !isNoSpace(error)) throw error
    return { kind: 'failed', reason: 'the disk is full' }
  }
}

async function nextEvent(trial: Trial, world: TrialWorld, signal: AbortSignal): Promise<TrialEvent | undefined> {
  switch (trial.phase) {
    case 'installing':
      return await world.install(trial)
    case 'watching':
      return await world.watch(trial, signal)
    case 'reverting':
      if (trial.begun > 1) await world.rest(trial, signal)
      return await world.revert(trial)
    case 'ended':
      return undefined
  }
}
