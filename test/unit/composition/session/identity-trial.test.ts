import { expect, test } from 'vitest'

import {
  identityEvidence,
  tryIdentity,
  type IdentityEvidence,
} from '../../../../agent/composition/session/identity-trial.ts'
import type { RotationRecord } from '../../../../agent/identity/rotation-record.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { sleep } from '../../../../agent/lib/sleep.ts'
import { RecordingLog } from '../../../support/recording-log.ts'

class FakeRotation {
  isLoaded = true
  isAdopted = true
  withinMs = 5_000
  readonly calls: string[] = []
  failures = 0
  record: RotationRecord | undefined = onTrial

  trial(): { readonly withinMs: number } | undefined {
    return this.record?.state === 'trial' ? { withinMs: this.withinMs } : undefined
  }

  async load(): Promise<void> {
    await this.#fail()
    this.isLoaded = true
  }

  async isInUse(): Promise<boolean> {
    if (this.isAdopted) return true
    await this.#fail()
    this.isAdopted = true
    return false
  }

  async accept(): Promise<void> {
    await this.#fail()
    this.calls.push('accept')
    this.record = { ...onTrial, state: 'rotated' }
  }

  async giveUp(reason: string): Promise<boolean> {
    await this.#fail()
    this.calls.push(`give up: ${reason}`)
    this.record = { ...onTrial, state: 'failed', reason }
    return true
  }

  async #fail(): Promise<void> {
    await Promise.resolve()
    this.failures -= 1
    if (this.failures >= 0) throw new AgentError('the disk is full', { retryable: true })
  }
}

const id = 'a'.repeat(64)
const base = { version: 1, id: 'job-1 1', at: '2026-11-28T00:00:00.000Z', confirmSeconds: 5 } as const
const onTrial = {
  ...base,
  previousCertificateId: id,
  certificateId: 'b'.repeat(64),
  state: 'trial',
  starts: 0,
} as const

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
  rotation.failures = 1
  await run()
  expect(rotation.calls).toEqual(['accept'])
})

test('leaves an identity alone that is not on trial', async () => {
  const { rotation, run } = bench({})
  rotation.record = undefined
  await run()
  expect(rotation.calls).toEqual([])
})

test('goes back also where the disk does not take that at first, and says why it had to', async () => {
  const { rotation, renewals, run } = bench({ connection: notHad }, 30)
  rotation.failures = 1
  await run()
  expect(rotation.calls).toEqual(['give up: not proven within 0 s: without an answer of AWS IoT Core'])
  expect(renewals).toEqual(['renew'])
})

test('has another session follow where it turns out that the identity was to be gone back from', async () => {
  const { rotation, renewals, run } = bench({})
  rotation.accept = () => rotation.giveUp('the job was withdrawn').then(() => undefined)
  await run()
  expect(renewals).toEqual(['renew'])
})

test('finds out whether the identity is on trial once the disk can be read, and begins a session with that', async () => {
  const { rotation, renewals, run } = bench({})
  Object.assign(rotation, { isLoaded: false, failures: 1 })
  await run()
  expect(rotation.isLoaded).toBe(true)
  expect(rotation.calls).toEqual([])
  expect(renewals).toEqual(['renew'])
})

test('accepts nothing by what the identity before shows, where the new one could not be put to use in time', async () => {
  const { rotation, renewals, run } = bench({})
  Object.assign(rotation, { isAdopted: false })
  await run()
  expect(rotation.isAdopted).toBe(true)
  expect(rotation.calls).toEqual([])
  expect(renewals).toEqual(['renew'])
})

test.each(['connected', 'without a control connection'])(
  'counts no connection as used before AWS IoT Core has answered over it (%s)',
  async (kind) => {
    const answer = Promise.withResolvers<undefined>()
    const answered = async (): Promise<void> => {
      await answer.promise
    }
    const isConnected = kind === 'connected'
    const session = { credentials: had, control: isConnected ? had : answered, why: () => undefined }
    const evidence = identityEvidence(session, isConnected ? { answered } : undefined)
    const seen: string[] = []
    const used = evidence.connection(new AbortController().signal).then(() => seen.push('used'))
    await new Promise(setImmediate)
    expect(seen).toEqual([])
    answer.resolve(undefined)
    await used
  },
)
