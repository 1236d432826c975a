import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { CameraFiles } from '../../agent/cameras/camera-files.ts'
import { loadConfig } from '../../agent/config/load-config.ts'
import { CredentialsServer } from '../../agent/credentials/credentials-server.ts'
import { Generations } from '../../agent/composition/generation/generations.ts'
import { createLog } from '../../agent/lib/log.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { createSession } from '../../agent/composition/session/session.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { cameraFile } from '../support/camera-file.ts'

const never = new AbortController().signal

test('status tells what cameras were served and with which key, before any worker has had a pass', async () => {
  const streams = ['served', 'there', 'new'].map((name) => ({ name, secretId: name }))
  await using site = await createAgentSite({ config: () => ({ artifacts: [], cameras: { streams } }) })
  const config = await loadConfig(site.appliance.configFile)
  await mkdir(join(config.paths.state, 'identity'), { recursive: true })
  const log = createLog({ level: 'error', sinks: [] })
  await using session = await createSession({ config, log })
  await using credentialsServer = new CredentialsServer({ log })
  const evidence = { credentials: () => Promise.resolve(), control: () => Promise.resolve() }
  const shared = { evidence, log, ring: new LogRing(), credentialsServer, startedMs: 0, nextNumber: () => 1 }
  const generations = new Generations({ config, session, ...shared })
  await using _ = generations.current.logs
  expect(generations.status().cameraSealing).toEqual({ state: 'starting', key: 'none' })

  const files = new CameraFiles(join(config.paths.runtime, 'cameras'))
  await files.prepare(['there'])
  await files.write('there', cameraFile({ versionId: 'of the file' }))
  await session.sealedCameras.write('served', cameraFile({ versionId: 'of the copy' }))
  await generations.current.serveLastCredentials(never)

  const { cameras, cameraSealing } = generations.status()
  expect(cameraSealing).toEqual({ state: 'ok', key: 'file' })
  expect(cameras.map(({ name, state, versionId }) => [name, state, versionId])).toEqual([
    ['served', 'starting', 'of the copy'],
    ['there', 'starting', 'of the file'],
    ['new', 'starting', undefined],
  ])
})
