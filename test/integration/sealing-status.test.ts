import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { composeStatus } from '../../agent/composition/status/agent-status.ts'
import { applianceInCloud, openSession } from '../support/cloud-session.ts'

test('says that sealing is starting, not well, until it has looked for a key', async () => {
  await using appliance = await applianceInCloud({
    config: () => ({ cameras: { streams: [{ name: 'dock', secretId: 'panorama/shared/dock' }] } }),
  })
  const { config } = appliance
  await using opened = await openSession(config)
  const { session, generation } = opened
  const sealing = () => composeStatus({ config, session, generation, startedMs: 0 }).cameraSealing
  expect(sealing()).toEqual({ state: 'starting', key: 'none' })
  await mkdir(join(config.paths.state, 'identity'), { recursive: true })
  await session.sealedCameras.prepare()
  expect(sealing()).toEqual({ state: 'ok', key: 'file' })
})
