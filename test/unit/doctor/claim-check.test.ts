import { expect, test } from 'vitest'

import { claimConnectionCheck, claimOutcome } from '../../../agent/doctor/claim-check.ts'
import type { RunningAgent } from '../../../agent/doctor/service-check.ts'

const claim = { validFromDate: new Date('2027-01-01T00:00:00Z'), validToDate: new Date('2028-01-01T00:00:00Z') }

test.each([
  ['2026-12-31', 'fail', 'the claim certificate is not valid before 2027-01-01'],
  ['2027-06-01', 'pass', 'valid until 2028-01-01'],
  ['2028-01-02', 'fail', 'the claim certificate has expired on 2028-01-01'],
])('says of a claim on %s: %s', (day, level, text) => {
  expect(claimOutcome(claim, Date.parse(day))).toMatchObject({ level, text: expect.stringContaining(text) as string })
})

test.each<RunningAgent>([
  { kind: 'answers', version: '1', faults: [], connection: undefined },
  { kind: 'unknown', text: 'it does not answer' },
])('does not connect with the claim where an agent may: $kind', async (agent) => {
  const connect = (): Promise<never> => Promise.reject(new Error('it connected'))
  const check = claimConnectionCheck({ agent: () => Promise.resolve(agent), connect, endpoint: 'mqtt.example' })
  expect(await check.run(new AbortController().signal)).toMatchObject([{ level: 'skip' }])
})
