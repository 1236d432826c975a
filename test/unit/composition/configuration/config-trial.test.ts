import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ConfigTrial, type TrialEvidence } from '../../../../agent/composition/configuration/config-trial.ts'
import { WriteError } from '../../../../agent/lib/atomic-file.ts'
import { RecordingLog } from '../../../support/recording-log.ts'
import { FakeEvidence } from '../../../support/trial-evidence.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

function trialOf(accept: () => Promise<void> = () => Promise.resolve()) {
  const accepts = vi.fn(accept)
  const reverts = vi.fn<(reason: string) => void>()
  const log = new RecordingLog()
  const trial = new ConfigTrial({ number: 4, confirmMs: 60_000, log, accept: accepts, revert: reverts })
  return { trial, accepts, reverts, log }
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
}

describe('a trial', () => {
  it('is confirmed once credentials and control are shown', async () => {
    const { trial, accepts, reverts, log } = trialOf()
    const evidence = new FakeEvidence()
    trial.running(evidence)
    await pass(30_000)
    evidence.give('credentials')
    await pass(29_000)
    expect(accepts).not.toHaveBeenCalled()
    evidence.give('control')
    await pass(0)
    expect(accepts).toHaveBeenCalledTimes(1)
    await pass(1_000_000)
    expect(reverts).not.toHaveBeenCalled()
    expect(log.messages('info')).toEqual(['the new configuration is confirmed'])
  })

  it('tells when its time is up, which a change of generation does not put off', async () => {
    const { trial } = trialOf()
    expect(trial.endsAtMs).toBeUndefined()
    const endsAtMs = performance.now() + 60_000
    trial.running(new FakeEvidence())
    await pass(20_000)
    trial.running(new FakeEvidence())
    expect(trial.endsAtMs).toBe(endsAtMs)
    await trial[Symbol.asyncDispose]()
  })

  it.each([
    [[], 'no valid credentials and no accepted update of the job'],
    [['credentials'], 'no accepted update of the job'],
    [['control'], 'no valid credentials'],
  ] as const)('is taken back when its time is up and there is only %j', async (given, what) => {
    const { trial, accepts, reverts } = trialOf()
    const evidence = new FakeEvidence()
    for (const each of given) evidence.give(each)
    evidence.reason = 'HTTP 403'
    trial.running(evidence)
    await pass(59_999)
    expect(reverts).not.toHaveBeenCalled()
    await pass(1)
    expect(reverts.mock.calls).toEqual([[`not confirmed within 60 s: ${what} (HTTP 403)`]])
    expect(accepts).not.toHaveBeenCalled()
    expect(evidence.waiting).toBe(0)
  })

  it('takes no time before a generation runs with it', async () => {
    const { trial, reverts } = trialOf()
    await pass(1_000_000)
    trial.running(new FakeEvidence())
    await pass(59_000)
    expect(reverts).not.toHaveBeenCalled()
  })

  it('counts the evidence of the session that runs now, within the time that it had from the first', async () => {
    const { trial, accepts, reverts } = trialOf()
    const [before, after] = [new FakeEvidence().give('credentials'), new FakeEvidence().give('control')]
    trial.running(before)
    await pass(50_000)
    trial.running(after)
    before.give('control')
    await pass(9_999)
    expect(before.waiting).toBe(0)
    expect(accepts).not.toHaveBeenCalled()
    await pass(1)
    expect(reverts).toHaveBeenCalledTimes(1)
  })

  it('is confirmed by a later try when the disk does not take it at first', async () => {
    let tries = 0
    const { trial, accepts, reverts } = trialOf(async () => {
      tries += 1
      await Promise.resolve()
      if (tries < 3) throw new WriteError('4.json', 'ENOSPC')
    })
    trial.running(new FakeEvidence().give('credentials').give('control'))
    await pass(10_000)
    expect(accepts).toHaveBeenCalledTimes(3)
    await pass(100_000)
    expect(reverts).not.toHaveBeenCalled()
  })

  it('is taken back when the disk never takes it', async () => {
    const { trial, reverts } = trialOf(() => Promise.reject(new WriteError('4.json', 'ENOSPC')))
    trial.running(new FakeEvidence().give('credentials').give('control'))
    await pass(60_000)
    expect(reverts.mock.calls).toEqual([['not confirmed within 60 s: it could not be recorded']])
  })

  it('goes on when evidence cannot be asked for at the moment', async () => {
    const { trial, accepts } = trialOf()
    const evidence = new FakeEvidence().give('credentials').give('control')
    let isBroken = true
    const breaking: TrialEvidence = {
      credentials: (signal) => evidence.credentials(signal),
      control: async (signal) => {
        if (isBroken) throw new Error('broken')
        await evidence.control(signal)
      },
    }
    trial.running(breaking)
    await pass(5_000)
    isBroken = false
    await pass(1_000)
    expect(accepts).toHaveBeenCalledTimes(1)
  })

  it('ends without an outcome when it is disposed', async () => {
    const { trial, accepts, reverts } = trialOf()
    const evidence = new FakeEvidence()
    trial.running(evidence)
    await pass(10)
    await trial[Symbol.asyncDispose]()
    evidence.give('credentials').give('control')
    await pass(100_000)
    expect([accepts.mock.calls, reverts.mock.calls, evidence.waiting, vi.getTimerCount()]).toEqual([[], [], 0, 0])
  })
})
