import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { step, type Trial, type TrialEvent } from '../../../../agent/request-handler/update/trial.ts'

const begun: Trial = {
  version: 1,
  id: 'job1',
  from: '1.0.0',
  to: '1.1.0',
  confirmSeconds: 600,
  phase: 'installing',
  begun: 0,
}
const started: TrialEvent = { kind: 'started', isConfirmed: false }

function after(...events: readonly TrialEvent[]): Trial {
  return events.reduce(step, begun)
}

describe('a trial', () => {
  test('ends with the new version once that has confirmed itself', () => {
    const trial = after(started, { kind: 'installed' }, { kind: 'confirmed' })
    expect(trial).toMatchObject({ phase: 'ended', outcome: 'confirmed' })
    expect(trial.reason).toBeUndefined()
  })

  test('goes back from a version that cannot be installed, and says why', () => {
    const trial = after(started, { kind: 'failed', reason: 'no room' })
    expect(trial).toMatchObject({ phase: 'reverting', reason: 'no room' })
    expect(step(trial, { kind: 'reverted' })).toMatchObject({
      phase: 'ended',
      outcome: 'rolled-back',
      reason: 'no room',
    })
  })

  test('goes back from a version that is not confirmed', () => {
    const trial = after(started, { kind: 'installed' }, { kind: 'failed', reason: 'not confirmed within 600 s' })
    expect(trial).toMatchObject({ phase: 'reverting', begun: 1 })
  })

  test('leaves a version alone that somebody has installed meanwhile', () => {
    const trial = after(started, { kind: 'installed' }, { kind: 'failed', reason: 'silent' })
    expect(step(trial, { kind: 'replaced', version: '1.2.0' })).toMatchObject({
      phase: 'ended',
      outcome: 'rolled-back',
      reason: 'silent; version 1.2.0, which was installed meanwhile, stays',
    })
  })

  test('goes on where a power cut ended it, three times', () => {
    const twice = after(started, started, started)
    expect(twice).toMatchObject({ phase: 'installing', begun: 3 })
    expect(step(twice, started)).toMatchObject({
      phase: 'reverting',
      reason: 'its installation was cut off 3 times',
    })
  })

  test('watches anew after a power cut, in three runs at most', () => {
    const third = after(started, { kind: 'installed' }, started, started)
    expect(third).toMatchObject({ phase: 'watching', begun: 3 })
    expect(step(third, started)).toMatchObject({
      phase: 'reverting',
      reason: 'not confirmed in 3 runs of the appliance',
    })
  })

  test('counts what was confirmed before a power cut', () => {
    const trial = after(started, { kind: 'installed' }, started, started)
    expect(step(trial, { kind: 'started', isConfirmed: true })).toMatchObject({ phase: 'ended', outcome: 'confirmed' })
  })

  test('is not confirmed any more once it goes back', () => {
    const trial = after(started, { kind: 'failed', reason: 'no room' }, { kind: 'confirmed' })
    expect(trial.phase).toBe('reverting')
    expect(step(trial, { kind: 'started', isConfirmed: true }).phase).toBe('reverting')
  })

  test('tries ten times to go back, and then says that it could not', () => {
    const failing: TrialEvent = { kind: 'not-reverted', reason: 'dpkg: no' }
    const tries = Array.from({ length: 9 }, () => failing)
    const last = after(started, { kind: 'failed', reason: 'it failed to start 3 times' }, ...tries)
    expect(last).toMatchObject({ phase: 'reverting', begun: 10 })
    expect(step(last, failing)).toMatchObject({
      phase: 'ended',
      outcome: 'stuck',
      reason: 'it failed to start 3 times; the version before cannot be installed either: dpkg: no',
    })
  })

  test('never leaves its end, and never loses what it is about', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('started' as const), isConfirmed: fc.boolean() }),
      fc.record({ kind: fc.constantFrom('installed', 'confirmed', 'reverted') }),
      fc.record({ kind: fc.constantFrom('failed', 'not-reverted'), reason: fc.string() }),
    )
    fc.assert(
      fc.property(fc.array(event), (events) => {
        let trial = begun
        for (const each of events) {
          const next = step(trial, each)
          if (trial.phase === 'ended') expect(next).toBe(trial)
          trial = next
        }
        const { id, from, to } = trial
        expect({ id, from, to }).toEqual({ id: 'job1', from: '1.0.0', to: '1.1.0' })
        expect(trial.outcome !== undefined).toBe(trial.phase === 'ended')
        expect(trial.reason !== undefined).toBe(
          trial.phase === 'reverting' || !['confirmed', undefined].includes(trial.outcome),
        )
      }),
    )
  })
})
