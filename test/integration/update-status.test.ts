import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { composeStatus } from '../../agent/composition/status/agent-status.ts'
import { applianceInCloud, openSession } from '../support/cloud-session.ts'
import { tempFolder } from '../support/temp-folder.ts'

const versions = { version: 1, id: 'job1', from: '1.0.0', to: '1.1.0' }

test('has the update on trial and the last one in the status, and until when trials last', async () => {
  await using folder = await tempFolder()
  await using appliance = await applianceInCloud({})
  const { config } = appliance
  await using opened = await openSession(config, { updateFolder: folder.path })
  const { session, generation } = opened
  const status = (trialEndsMs?: number) => {
    const configuration = { version: 1, digest: 'd', state: 'trial', faults: [] } as const
    return composeStatus({ config, session, generation, startedMs: 0, configuration, trialEndsMs })
  }
  const tell = async (name: string, document: object): Promise<void> => {
    await writeFile(join(folder.path, name), JSON.stringify({ ...versions, ...document }))
    await session.updates.trial()
    await session.updates.last()
  }
  expect(status()).not.toHaveProperty('update')

  await tell('trial.json', { phase: 'installing', confirmSeconds: 600 })
  expect(status().update).toEqual({ trial: { from: '1.0.0', to: '1.1.0', phase: 'installing' } })

  const watching = { phase: 'watching', confirmSeconds: 600 }
  const uptimeMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)
  const before = Date.now()
  await tell('trial.json', { ...watching, confirmByUptimeMs: uptimeMs() + 600_000 })
  const { update, configuration } = status(performance.now() + 300_000)
  for (const [until, leftMs] of [
    [update?.trial?.until, 600_000],
    [configuration?.until, 300_000],
  ] as const) {
    expect(Date.parse(until ?? '')).toBeGreaterThanOrEqual(before + leftMs - 2_000)
    expect(Date.parse(until ?? '')).toBeLessThanOrEqual(Date.now() + leftMs + 2_000)
  }

  // as it is left by a run of the appliance that was up for longer, or by a version that does not tell
  await tell('trial.json', { ...watching, confirmByUptimeMs: uptimeMs() + 700_000 })
  expect(status().update?.trial).toEqual({ from: '1.0.0', to: '1.1.0', phase: 'watching' })
  await tell('trial.json', watching)
  expect(status().update?.trial).toEqual({ from: '1.0.0', to: '1.1.0', phase: 'watching' })

  const endedAt = '2027-01-01T00:00:00.000Z'
  await tell('last-update.json', { outcome: 'rolled-back', reason: 'not confirmed', endedAt })
  const last = { outcome: 'rolled-back', from: '1.0.0', to: '1.1.0', at: endedAt, reason: 'not confirmed' }
  expect(status().update?.last).toEqual(last)
})
