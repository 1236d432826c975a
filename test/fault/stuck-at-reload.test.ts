import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { runAgent } from '../../agent/agent.ts'
import { loadConfig } from '../../agent/config/load-config.ts'
import { createLog } from '../../agent/lib/log.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { Service } from '../../agent/composition/service.ts'
import { reportLastRun } from '../../agent/status/last-run.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { runCommand } from '../support/run-command.ts'

test('gives up when a worker does not end at a reload, and names it, also to the next run', async () => {
  await using site = await createAgentSite()
  const { configFile, runtimeFolder } = site.appliance
  const state = join(site.artifactFolder, 'activation.json')
  await mkdir(site.artifactFolder, { recursive: true })
  await runCommand('mkfifo', [state]) // opening it to read waits for a writer
  const config = await loadConfig(configFile)
  const lines: string[] = []
  const log = createLog({ level: 'info', sinks: [({ text }) => lines.push(text)] })
  using service = new Service({}, log)
  const reloads = { next: () => Promise.resolve({ ...config, downloads: { ...config.downloads, minFreeBytes: 0 } }) }
  const options = { config, log, ring: new LogRing(), service, reloads, endWithinMs: 500 }
  try {
    await expect(runAgent(options, new AbortController().signal)).rejects.toThrow('the end of the workers')
  } finally {
    await writeFile(state, '') // lets go of the thread
  }
  expect(lines.find((line) => line.includes('workers do not end'))).toContain('stuck="[\\"artifacts:model\\"]"')
  const nextLog = new RecordingLog()
  await reportLastRun({ runtimeFolder, log: nextLog })
  expect(nextLog.entries).toMatchObject([{ fields: { stuck: 'worker artifacts:model' } }])
})
