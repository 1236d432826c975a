import { appendFile, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { runCommand } from '../support/run-command.ts'
import { coverReadOnly, fillDisk, mountSmallDisk, uncover, whyNoMount } from '../support/small-disk.ts'
import { until, waitUntil } from '../support/wait-until.ts'

const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because no file system can be mounted here: ${noMount}`)

const saveWithinMs = 30_000

interface Starvation {
  readonly what: string
  readonly code: string
  readonly hint: RegExp
  readonly begin: (folder: string) => Promise<void>
  readonly end: (folder: string) => Promise<void>
}

const full: Omit<Starvation, 'what' | 'begin'> = {
  code: 'ENOSPC',
  hint: /free some space/,
  end: (folder) => rm(join(folder, 'ballast'), { recursive: true }),
}
const starvations: readonly Starvation[] = [
  { ...full, what: 'no room left', begin: (folder) => fillDisk(join(folder, 'ballast'), 'bytes') },
  { ...full, what: 'no inode left', begin: (folder) => fillDisk(join(folder, 'ballast'), 'inodes') },
  {
    what: 'become read-only',
    code: 'EROFS',
    hint: /mount it writable/,
    begin: coverReadOnly,
    end: uncover,
  },
]

describe.skipIf(noMount !== undefined).each(starvations)('a state folder that has $what', (starvation) => {
  it(
    'keeps no line from arriving, is told by status, and is written to again without a restart',
    { timeout: 120_000 },
    async () => {
      await using site = await createAgentSite({ config: () => ({ downloads: { minFreeBytes: 0 } }) })
      const { stateFolder } = site.appliance
      await mkdir(stateFolder)
      await using _ = await mountSmallDisk(stateFolder)
      const agent = site.start()
      await write(site, ['before'])
      await until(() => arrived(site).includes('before'))
      await waitUntil('the cursors are saved', () => isSaved(site, 'before\n'), saveWithinMs)
      await starvation.begin(stateFolder)
      await write(site, ['meanwhile'])

      const { logs } = await agent.until(({ logs: { state } }) => state === 'failing', saveWithinMs)

      expect(logs.lastError?.message).toContain('the cursor file')
      expect(logs.lastError?.message).toContain(starvation.code)
      expect(logs.lastError?.hint).toMatch(starvation.hint)
      await until(() => arrived(site).includes('meanwhile'))
      await starvation.end(stateFolder)
      await agent.until(isWell, saveWithinMs)
      await waitUntil('the cursors are saved', () => isSaved(site, 'before\nmeanwhile\n'), saveWithinMs)
      agent.kill('SIGKILL')
      await agent.exited()
      await write(site, ['after'])
      site.start()
      await until(() => arrived(site).includes('after'))
      expect(arrived(site)).toEqual(['before', 'meanwhile', 'after'])
    },
  )

  it('lets an agent that starts there send what is new, and lose nothing', { timeout: 120_000 }, async () => {
    await using site = await createAgentSite({ config: () => ({ downloads: { minFreeBytes: 0 } }) })
    const { stateFolder } = site.appliance
    await mkdir(stateFolder)
    await using _ = await mountSmallDisk(stateFolder)
    await starvation.begin(stateFolder)
    await write(site, ['one'])
    const agent = site.start()
    await until(() => arrived(site).includes('one'))
    await agent.until(({ logs: { state } }) => state === 'failing', saveWithinMs)
    await starvation.end(stateFolder)
    await agent.until(isWell, saveWithinMs)
    await write(site, ['two'])
    await until(() => arrived(site).includes('two'))
    expect(arrived(site)).toEqual(['one', 'two'])
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
  })
})

it.skipIf(noMount !== undefined)(
  'outlives a runtime folder without room, says so, and recovers',
  { timeout: 120_000 },
  async () => {
    await using site = await createAgentSite()
    const { runtimeFolder } = site.appliance
    await mkdir(runtimeFolder)
    await using _ = await mountSmallDisk(runtimeFolder, '1m')
    const agent = site.start()
    await write(site, ['before'])
    await until(() => arrived(site).includes('before'))
    await fillDisk(join(runtimeFolder, 'ballast'), 'bytes')
    await write(site, ['meanwhile'])
    const { logs } = await agent.until(({ logs: { state } }) => state === 'failing')
    expect(logs.lastError?.message).toContain('the copy of the cursor file')
    expect(logs.lastError?.message).toContain('ENOSPC')
    await until(() => arrived(site).includes('meanwhile'))
    await rm(join(runtimeFolder, 'ballast'), { recursive: true })
    await write(site, ['after'])
    await until(() => arrived(site).includes('after'))
    await agent.until(isWell, saveWithinMs)
    expect(arrived(site)).toEqual(['before', 'meanwhile', 'after'])
  },
)

it(
  'sends what it can of more log files than it has descriptors for, says so, and the rest once it has more',
  { timeout: 120_000 },
  async () => {
    await using site = await createAgentSite({
      config: ({ folder }) => ({
        logs: { flushSeconds: 1, sources: [{ kind: 'file', path: join(folder, 'logs', '*.log'), stream: 'all' }] },
      }),
    })
    site.setPassword('first')
    await site.publish('a', 'content')
    const agent = site.start()
    await agent.until(({ cameras: [camera] }) => camera?.state === 'ok')
    await setDescriptors(agent, 90)
    const names = Array.from({ length: 150 }, (_, index) => `log-${index}`)
    for (const name of names) await write(site, [`${name} one`], name)

    const { logs } = await agent.until(({ logs: { state } }) => state === 'failing', saveWithinMs)

    expect(logs.lastError?.message).toContain('the 90 file descriptors that the agent may have')
    expect(logs.lastError?.hint).toContain('LimitNOFILE=')
    site.setPassword('second')
    await site.publish('b', 'more')
    await Promise.all([site.refresh(), site.sync()])
    const starved = await agent.until(({ artifacts: [artifact] }) => artifact?.files === 2)
    expect(starved).toMatchObject({ agent: { pid: agent.pid }, logs: { state: 'failing' }, cameras: [{ state: 'ok' }] })
    await setDescriptors(agent, 1_024)
    await agent.until(isWell, saveWithinMs)
    for (const name of names) await write(site, [`${name} two`], name)
    const lines = names.flatMap((name) => [`${name} one`, `${name} two`])
    await waitUntil('all lines arrive', () => arrived(site, 'all').length >= lines.length, saveWithinMs)
    expect(arrived(site, 'all').toSorted()).toEqual(lines.toSorted())
  },
)

/** Of the running process: Node raises its limit at its start. */
async function setDescriptors({ pid }: AgentProcess, limit: number): Promise<void> {
  await runCommand('prlimit', ['--pid', String(pid), `--nofile=${limit}:`])
}

async function write({ appliance }: AgentSite, lines: readonly string[], name = 'app'): Promise<void> {
  await appendFile(join(appliance.logsFolder, `${name}.log`), lines.map((line) => `${line}\n`).join(''))
}

function arrived({ cloud, appliance }: AgentSite, stream = 'app'): readonly string[] {
  return arrivedMessages(cloud, `/aws/panorama/devices/${appliance.thingName}`, stream)
}

/** Whether the cursor on the disk is behind `text`. */
async function isSaved({ appliance }: AgentSite, text: string): Promise<boolean> {
  const saved = await readFile(join(appliance.stateFolder, 'logs', 'cursors.json'), 'utf8').catch(() => '')
  return saved.includes(`"positionBytes":${Buffer.byteLength(text)}`)
}

function isWell({ logs }: StatusDocument): boolean {
  return logs.state === 'ok' && logs.lost === 0 && logs.gapsPending === 0
}
