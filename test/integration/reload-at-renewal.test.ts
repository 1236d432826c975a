import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { loadConfig } from '../../agent/config/load-config.ts'
import { CredentialsServer } from '../../agent/credentials/credentials-server.ts'
import { Generations } from '../../agent/composition/generation/generations.ts'
import { createLog } from '../../agent/lib/log.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { createSession } from '../../agent/composition/session/session.ts'
import { createAgentSite } from '../support/agent-site.ts'

test('ends also what a reload would keep when another session is asked for, or a stop comes, while the rest ends', async () => {
  for (const way of ['renewal', 'stop'] as const) {
    await using site = await createAgentSite()
    const config = await loadConfig(site.appliance.configFile)
    const changed = { ...config, logs: { ...config.logs, flushSeconds: config.logs.flushSeconds + 1 } }
    await mkdir(join(config.paths.state, 'identity'), { recursive: true })
    const log = createLog({ level: 'error', sinks: [] })
    await using session = await createSession({ config, log })
    await using credentialsServer = new CredentialsServer({ log })
    const stop = new AbortController()
    const reloads = {
      next: () => {
        setImmediate(() => {
          if (way === 'stop') stop.abort()
          else generations.renewSession()
        })
        return Promise.resolve(changed)
      },
    }
    const evidence = { credentials: () => Promise.resolve(), control: () => Promise.resolve() }
    const shared = { evidence, log, ring: new LogRing(), credentialsServer, startedMs: 0, nextNumber: () => 1 }
    const generations: Generations = new Generations({ config, session, reloads, ...shared })
    const { artifacts, workers } = generations.current
    expect(artifacts).toHaveLength(1)
    const next = await generations.run(stop.signal)
    expect(workers.filter(({ hasStopped }) => !hasStopped).map(({ name }) => name)).toEqual([])
    expect(next).toEqual(way === 'stop' ? undefined : changed)
    stop.abort()
  }
})
