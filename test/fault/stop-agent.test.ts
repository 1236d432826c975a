import { randomBytes } from 'node:crypto'
import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { installedContents, unfinishedFiles } from '../support/installed-artifact.ts'
import { runCommand } from '../support/run-command.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

/** The agent ends by force at 4.8 s; a stop that needs it says so on its standard error. */
const cutOff = /was cut off/

describe('SIGTERM', () => {
  it('ends an agent at rest with exit code 0 after the last log lines have arrived', async () => {
    await using site = await createAgentSite({ config: lazyLogs })
    await site.publish('a', 'content')
    site.setPassword('first')
    await appendFile(join(site.appliance.logsFolder, 'app.log'), 'the last line\n')
    const agent = site.start()
    await agent.until(isSynced)
    await agent.until(({ logs }) => logs.sources.length === 1 && logs.nextAttemptAt !== undefined)
    expect(arrivedMessages(site.cloud, groupOf(site), 'app')).toEqual([])
    await expectCleanStop(agent)
    expect(arrivedMessages(site.cloud, groupOf(site), 'app')).toEqual(['the last line'])
    expect(agent.output).toMatch(/agent stopped\n$/)
  })

  it('ends an agent in mid-download with exit code 0 and leaves nothing half-written', async () => {
    await using site = await createAgentSite()
    const installed = Buffer.from('content')
    await site.publish('a', installed)
    const agent = site.start()
    await agent.until(isSynced)
    await site.publish('big', randomBytes(2_000_000))
    site.cloud.faults.inject({ kind: 'stall', afterBytes: 300_000 }, { service: 's3', action: 'GetObject' })
    const pass = site.sync()
    await agent.until(({ artifacts }) => (artifacts[0]?.progress?.bytes ?? 0) >= 200_000)
    await expectCleanStop(agent)
    await pass
    expect(await unfinishedFiles(site.appliance.stateFolder)).toEqual([])
    expect(await installedContents(site.artifactFolder)).toEqual(new Map([['a', installed]]))
  })

  it('ends an agent that waits for a cloud that swallows everything, and the next one sends what was pending', async () => {
    await using site = await createAgentSite({ config: lazyLogs })
    await site.publish('a', 'content')
    site.setPassword('first')
    const agent = site.start()
    await agent.until(isSynced)
    await site.cloud.blackhole()
    await appendFile(join(site.appliance.logsFolder, 'app.log'), 'pending\n')
    const pass = site.sync()
    await agent.until(({ artifacts }) => artifacts[0]?.phase === 'listing')
    await expectCleanStop(agent)
    await pass
    expect(await unfinishedFiles(site.appliance.stateFolder)).toEqual([])

    await site.cloud.reachable()
    const next = site.start()
    await next.until(isSynced)
    await expectCleanStop(next)
    expect(arrivedMessages(site.cloud, groupOf(site), 'app')).toEqual(['pending'])
  })

  it('ends an agent that has no credentials yet, because nothing answers', async () => {
    await using site = await createAgentSite()
    await site.cloud.blackhole()
    const agent = site.start()
    await agent.until(({ credentials }) => credentials.length === 1)
    await expectCleanStop(agent)
  })

  it('ends an agent by force whose file access hangs', async () => {
    await using site = await createAgentSite()
    await mkdir(site.artifactFolder, { recursive: true })
    await runCommand('mkfifo', [join(site.artifactFolder, 'activation.json')]) // opening it to read waits for a writer
    site.setPassword('first')
    const agent = site.start()
    await agent.until(({ cameras }) => cameras[0]?.state === 'ok')
    agent.kill('SIGTERM')
    expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
    expect(agent.output).toMatch(cutOff)
  })

  it('ends an agent that gets it before it is ready', async () => {
    await using site = await createAgentSite()
    const agent = site.start()
    await waitUntil('the agent has begun', () => agent.output.includes('agent starts'))
    await expectCleanStop(agent)
  })
})

/** Log lines wait an hour, or for the stop. */
function lazyLogs({ folder }: { readonly folder: string }): Record<string, unknown> {
  return { logs: { flushSeconds: 3600, sources: [{ kind: 'file', path: join(folder, 'logs', '*.log') }] } }
}

function isSynced({ artifacts, credentials }: StatusDocument): boolean {
  return [...artifacts, ...credentials].every(({ state }) => state === 'ok')
}

async function expectCleanStop(agent: AgentProcess): Promise<void> {
  agent.kill('SIGTERM')
  expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
  expect(agent.output).not.toMatch(cutOff)
}

function groupOf({ appliance }: AgentSite): string {
  return `/aws/panorama/devices/${appliance.thingName}`
}
