import { expect, test } from 'vitest'

import { tryIdentity, type IdentityEvidence } from '../../agent/identity-trial.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { sleep } from '../../agent/lib/sleep.ts'
import { RecordingLog } from '../support/recording-log.ts'

class FakeRotation {
  onTrial = true
  withinMs = 5_000
  readonly calls: string[] = []
  acceptFailures = 0

  trial(): { readonly withinMs: number } | undefined {
    return this.onTrial ? { withinMs: this.withinMs } : undefined
  }

  accept(): Promise<void> {
    if (this.acceptFailures > 0) {
      this.acceptFailures -= 1
      return Promise.reject(new AgentError('the disk is full', { retryable: true }))
    }
    this.calls.push('accept')
    this.onTrial = false
    return Promise.resolve()
  }

  giveUp(reason: string): Promise<boolean> {
    this.calls.push(`give up: ${reason}`)
    this.onTrial = false
    return Promise.resolve(true)
  }
}

const had = (): Promise<void> => Promise.resolve()
const notHad = async (signal: AbortSignal): Promise<void> => {
  await sleep(60_000, signal)
}

function bench(evidence: Partial<IdentityEvidence>, withinMs = 5_000) {
  const rotation = new FakeRotation()
  rotation.withinMs = withinMs
  const log = new RecordingLog()
  const renewals: string[] = []
  const all = { credentials: had, connection: had, why: () => undefined, ...evidence }
  const run = (signal = new AbortController().signal): Promise<void> =>
    tryIdentity({ rotation, evidence: all, log, renewSession: () => renewals.push('renew') }, signal)
  return { rotation, log, renewals, run }
}

test('accepts an identity that has credentials and an answer', async () => {
  const { rotation, renewals, run } = bench({})
  await run()
  expect(rotation.calls).toEqual(['accept'])
  expect(renewals).toEqual([])
})

test.each([
  ['credentials', { credentials: notHad }],
  ['an answer of AWS IoT Core', { connection: notHad }],
])('gives an identity up that has no %s in time, says why, and renews the session', async (what, evidence) => {
  const { rotation, renewals, run } = bench({ ...evidence, why: () => 'not authorized' }, 30)
  await run()
  expect(rotation.calls).toEqual([`give up: not proven within 0 s: without ${what} (not authorized)`])
  expect(renewals).toEqual(['renew'])
})

test('decides nothing when the session ends before', async () => {
  const { rotation, run } = bench({ connection: notHad })
  const end = new AbortController()
  const ended = run(end.signal)
  end.abort(new AgentError('stop'))
  await ended
  expect(rotation.calls).toEqual([])
})

test('records the acceptance again when the disk does not take it', async () => {
  const { rotation, run } = bench({})
  rotation.acceptFailures = 1
  await run()
  expect(rotation.calls).toEqual(['accept'])
})

test('leaves an identity alone that is not on trial', async () => {
  const { rotation, run } = bench({})
  rotation.onTrial = false
  await run()
  expect(rotation.calls).toEqual([])
})
