import { expect, test } from 'vitest'

import type { RotationActions, RotationResult } from '../../../agent/jobs/job-actions.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { untilAborted } from '../../../agent/lib/abort.ts'
import { until } from '../../support/wait-until.ts'
import { JobsAppliance } from './jobs-fixture.ts'

const rotate = { version: '1.0', operation: 'rotate-certificate' }

/** Rotations as the appliance keeps them: under the id of whoever asked, until they are accepted or given up. */
class FakeRotations {
  readonly begun: string[] = []
  readonly calls: string[] = []
  readonly #outcomes = new Map<string, PromiseWithResolvers<RotationResult>>()
  readonly actions: RotationActions = {
    begin: ({ id }) => {
      if (this.#outcomes.has(id)) return Promise.resolve()
      this.begun.push(id)
      this.#outcomes.set(id, Promise.withResolvers())
      return Promise.resolve()
    },
    settled: async (id, signal) => {
      const outcome = this.#outcomes.get(id)
      if (outcome === undefined) throw new AgentError('nothing is known of this rotation any more')
      return await untilAborted(outcome.promise, signal)
    },
    giveUp: (id, reason) => {
      this.calls.push(`give up: ${reason}`)
      this.#outcomes.get(id)?.resolve({ kind: 'failed', reason, orphanCertificateId: 'orphan' })
      return Promise.resolve()
    },
    forget: () => Promise.resolve([]),
  }

  accept(): void {
    this.#outcomes
      .get(this.begun.at(-1) ?? '')
      ?.resolve({ kind: 'rotated', certificateId: 'new', previousCertificateId: 'old' })
  }
}

async function begun(): Promise<{ appliance: JobsAppliance; rotations: FakeRotations }> {
  const appliance = await JobsAppliance.open()
  const rotations = new FakeRotations()
  appliance.actions.rotation = rotations.actions
  return { appliance, rotations }
}

test('rotates once more for a job that is made anew under the id of one that was deleted', async () => {
  const { appliance, rotations } = await begun()
  await using _ = appliance
  const first = appliance.service.queue('job-1', rotate)
  appliance.start()
  await until(() => rotations.begun.length === 1)
  rotations.accept()
  expect(await appliance.ended(first)).toBe('SUCCEEDED')
  appliance.service.delete(first)
  const second = appliance.service.queue('job-1', rotate)
  await until(() => rotations.begun.length === 2)
  rotations.accept()
  expect(await appliance.ended(second)).toBe('SUCCEEDED')
})

test.each(['CANCELED', 'deleted'])('gives a rotation up whose job was %s while the agent was away', async (how) => {
  const { appliance, rotations } = await begun()
  await using _ = appliance
  const key = appliance.service.queue('job-1', rotate)
  appliance.start()
  await until(() => rotations.begun.length === 1)
  await appliance.stop()
  if (how === 'deleted') appliance.service.delete(key)
  else appliance.service.end(key, 'CANCELED')
  appliance.start()
  await until(() => appliance.worker.status().last?.status === 'WITHDRAWN')
  expect(rotations.calls).toEqual(['give up: the job was withdrawn'])
})

test('tells of a rotation whose job was cancelled after the certificate was accepted', async () => {
  const { appliance, rotations } = await begun()
  await using _ = appliance
  const key = appliance.service.queue('job-1', rotate)
  appliance.start()
  await until(() => rotations.begun.length === 1)
  await appliance.stop()
  rotations.accept()
  appliance.service.end(key, 'CANCELED')
  appliance.start()
  await until(() => appliance.worker.status().last?.cloudStatus === 'CANCELED')
  expect(appliance.worker.status().last).toMatchObject({ status: 'SUCCEEDED' })
})

test('gives a rotation up that was cut off too often, and names the orphan', async () => {
  const { appliance, rotations } = await begun()
  await using _ = appliance
  const key = appliance.service.queue('job-1', rotate)
  for (let run = 0; run < 5; run += 1) {
    appliance.start()
    await until(() => appliance.worker.status().current !== undefined && rotations.begun.length === 1)
    await until(() => appliance.service.updates.length > run)
    await appliance.stop()
  }
  appliance.start()
  expect(await appliance.ended(key)).toBe('FAILED')
  const reason = 'it was cut off 5 times by the end of the agent'
  expect(rotations.calls).toEqual([`give up: ${reason}`])
  expect(appliance.service.details(key)).toMatchObject({ reason, orphanCertificateId: 'orphan' })
})
