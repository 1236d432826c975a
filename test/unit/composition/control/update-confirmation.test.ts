import { expect, test } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import type { UpdateTrial } from '../../../../agent/root-requests/update-reports.ts'
import type { RootAnswer } from '../../../../agent/root-requests/root-requests.ts'
import { reachOf, updateConfirmation } from '../../../../agent/composition/control/update-confirmation.ts'
import { RecordingLog } from '../../../support/recording-log.ts'
import { running } from '../../../support/running-worker.ts'
import { until } from '../../../support/wait-until.ts'

const watching: UpdateTrial = {
  version: 1,
  id: 'a',
  from: '1.0.0',
  to: '1.1.0',
  phase: 'watching',
  confirmSeconds: 60,
}

function bench(trial: UpdateTrial | undefined, answers: readonly RootAnswer[] = []) {
  const seen = { looked: 0, lookedBack: 0, asked: new Array<string>(), hasCredentials: true, isReached: true, tried: 0 }
  const left = [...answers]
  const worker = updateConfirmation({
    version: '1.1.0',
    reports: {
      trial: () => {
        seen.looked += 1
        return Promise.resolve(trial)
      },
      last: () => {
        seen.lookedBack += 1
        return Promise.resolve(undefined)
      },
    },
    requests: {
      request: ({ verb, argument = '' }) => {
        seen.asked.push(`${verb} ${argument}`)
        return Promise.resolve(left.shift() ?? { result: 'done', code: 'ok' })
      },
    },
    hasCredentials: () => seen.hasCredentials,
    reach: () => {
      seen.tried += 1
      return seen.isReached ? Promise.resolve() : Promise.reject(new AgentError('no connection', { retryable: true }))
    },
    log: new RecordingLog(),
    askAgainMs: 1,
  })
  return { seen, worker }
}

test('confirms the version on trial that it is', async () => {
  const { seen, worker } = bench(watching)
  const run = running(worker)
  await until(() => seen.asked.length > 0)
  await run.stop()
  expect(seen.asked).toEqual(['confirm-update 1.1.0'])
})

test.each<RootAnswer>([
  { result: 'done', code: 'ok' },
  { result: 'refused', code: 'too-late' },
])('asks once, and looks how it goes on, where the answer is %o', async (answer) => {
  const { seen, worker } = bench(watching, [answer])
  const run = running(worker)
  await until(() => seen.looked > 3)
  await run.stop()
  expect(seen.asked).toEqual(['confirm-update 1.1.0'])
  expect(seen.lookedBack).toBeGreaterThan(2)
})

test('looks how an update to another version goes on', async () => {
  const { seen, worker } = bench({ ...watching, to: '1.2.0' })
  const run = running(worker)
  await until(() => seen.looked > 2 && seen.lookedBack > 1)
  await run.stop()
  expect(seen.asked).toEqual([])
})

test.each<[string, UpdateTrial | undefined]>([
  ['there is no trial', undefined],
  ['another version is on trial', { ...watching, to: '1.2.0' }],
  ['root goes back already', { ...watching, phase: 'reverting' }],
])('asks for nothing where %s', async (_what, trial) => {
  const { seen, worker } = bench(trial)
  const run = running(worker)
  await until(() => seen.looked > 0)
  await run.stop()
  expect(seen).toMatchObject({ asked: [], tried: 0 })
})

test('confirms nothing without credentials', async () => {
  const { seen, worker } = bench(watching)
  seen.hasCredentials = false
  const run = running(worker)
  await until(() => seen.looked > 0)
  await run.stop()
  expect(seen).toMatchObject({ asked: [], tried: 0 })
})

test('confirms nothing while AWS IoT Core does not answer', async () => {
  const { seen, worker } = bench(watching)
  seen.isReached = false
  const run = running(worker)
  await until(() => seen.tried > 0)
  await run.stop()
  expect(seen.asked).toEqual([])
})

test('asks again while dpkg is not through with it', async () => {
  const { seen, worker } = bench(watching, [{ result: 'failed', code: 'not-yet' }])
  const run = running(worker)
  await until(() => seen.asked.length === 2)
  await run.stop()
  expect(seen.asked).toEqual(['confirm-update 1.1.0', 'confirm-update 1.1.0'])
})

test('reaches nothing with an MQTT endpoint and without a client for it', async () => {
  const { signal } = new AbortController()
  await expect(reachOf({ endpoints: {} }, undefined)(signal)).resolves.toBeUndefined()
  await expect(reachOf({ endpoints: { mqtt: 'mqtt.example' } }, undefined)(signal)).rejects.toThrow(
    'no control connection',
  )
  const reach = () => Promise.reject(new AgentError('asked'))
  await expect(reachOf({ endpoints: {} }, { reach })(signal)).rejects.toThrow('asked')
})
