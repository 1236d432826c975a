import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { FetchedCredentials } from '../../../../agent/credentials/credential-source.ts'
import { RoleCredentials } from '../../../../agent/credentials/role-credentials.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { sessionEvidence } from '../../../../agent/composition/configuration/trial-evidence.ts'
import { RecordingLog } from '../../../support/recording-log.ts'
import { running } from '../../../support/running-worker.ts'

const never = new AbortController().signal

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

function session() {
  const fetched = Promise.withResolvers<FetchedCredentials>()
  const credentials = new RoleCredentials({
    name: 'credentials',
    source: { fetch: () => fetched.promise },
    log: new RecordingLog(),
  })
  return { credentials, fetched, evidence: sessionEvidence({ credentials: [credentials] }, () => undefined) }
}

function valid(lifetimeMs = 3_600_000): FetchedCredentials {
  return { accessKeyId: 'key', secretAccessKey: 'secret', sessionToken: 'token', lifetimeMs }
}

describe('the evidence of a session', () => {
  it('is there as soon as credentials are fetched, and at once while they are held', async () => {
    const { credentials, fetched, evidence } = session()
    await using _ = running(credentials.worker)
    const had = evidence.credentials(never)
    fetched.resolve(valid())
    await had
    await evidence.credentials(never)
  })

  it('is not there with the credentials of a base role alone, from which the role in use is assumed', async () => {
    const base = session()
    const assumed = session()
    const evidence = sessionEvidence({ credentials: [base.credentials, assumed.credentials] }, () => undefined)
    await using _ = running(base.credentials.worker)
    await using __ = running(assumed.credentials.worker)
    let isHad = false
    const had = evidence.credentials(never).then(() => {
      isHad = true
    })
    base.fetched.resolve(valid())
    await vi.advanceTimersByTimeAsync(10_000)
    expect(base.credentials.status().held).toBeDefined()
    expect(isHad).toBe(false)
    assumed.fetched.resolve(valid())
    await had
  })

  it('is not there with credentials that are over when they come', async () => {
    const { credentials, fetched, evidence } = session()
    await using _ = running(credentials.worker)
    const waiter = new AbortController()
    let isHad = false
    const had = evidence.credentials(waiter.signal).then(() => {
      isHad = true
    })
    fetched.resolve(valid(0))
    await vi.advanceTimersByTimeAsync(10_000)
    expect(isHad).toBe(false)
    waiter.abort(new AgentError('the trial is over'))
    await expect(had).rejects.toThrow('the trial is over')
  })
})
