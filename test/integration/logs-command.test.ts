import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { expect, it } from 'vitest'

import { logs, type LogsOptions } from '../../agent/commands/logs.ts'
import type { RecentLogs } from '../../agent/status/recent-logs-document.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

/** Runs the command in this process, until it ends or is stopped. */
function run({ appliance }: AgentSite, options: Partial<LogsOptions> = {}) {
  const stop = new AbortController()
  const stdout = new PassThrough({ encoding: 'utf8' })
  const stderr = new PassThrough({ encoding: 'utf8' })
  const seen = { output: '' }
  for (const stream of [stdout, stderr]) stream.on('data', (text: string) => (seen.output += text))
  const context = { signal: stop.signal, stdout, stderr, service: {}, onHangup: () => undefined }
  const { configFile } = appliance
  const ended = logs({ configFile, lines: 50, follow: false, json: false, ...options }, context)
  return { seen, stop, ended }
}

async function outputOf(site: AgentSite, options: Partial<LogsOptions> = {}): Promise<string> {
  const { seen, ended } = run(site, options)
  await ended
  return seen.output
}

it('shows the last lines, and what waits for its upload and why', async () => {
  await using site = await createAgentSite()
  using _ = site.cloud.faults.inject(
    { kind: 'error', status: 400, code: 'AccessDeniedException' },
    { service: 'logs', action: 'PutLogEvents' },
  )
  const agent = site.start()
  await appendFile(join(site.appliance.logsFolder, 'app.log'), 'a line\n'.repeat(10))
  await agent.until(({ logs: { sources } }) => sources.some(({ state }) => state === 'failing'))
  const output = await outputOf(site)
  expect(output).toMatch(/^\S+Z INFO {2}agent starts version=/m)
  expect(output).toMatch(/^app +failing +\d+ bytes, 10 events of it read, .*next attempt in /m)
  expect(output).toContain('AccessDeniedException')
  const answer = JSON.parse(await outputOf(site, { json: true, lines: 1 })) as RecentLogs
  expect(answer.lines).toHaveLength(1)
  const stream: unknown = expect.objectContaining({ stream: 'app', events: 10, state: 'failing' })
  expect(answer.streams).toEqual(expect.arrayContaining([stream]))
})

it('follows through a stop of the agent, and says where else its log is', async () => {
  await using site = await createAgentSite()
  await expect(run(site).ended).rejects.toMatchObject({
    hint: expect.stringContaining('journalctl -u panorama-agent.service') as unknown,
  })
  const { seen, stop, ended } = run(site, { follow: true })
  await waitUntil('it says that nobody answers', () => seen.output.includes('asked again every second'))
  const starts = (): number => seen.output.split('agent starts version=').length - 1
  const agent = site.start()
  await waitUntil('the lines of the first run', () => starts() === 1)
  agent.kill('SIGTERM')
  await exitOf(agent)
  site.start()
  await waitUntil('the lines of the second run', () => starts() === 2)
  stop.abort()
  await ended
})
