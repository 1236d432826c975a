import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { beforeAll, afterAll, describe, expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import { status } from '../../agent/commands/ask-agent.ts'
import { socketPathIn } from '../../agent/status/status-client.ts'
import { agentCommand } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'

const root = join(import.meta.dirname, '..', '..')

interface Outcome {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

describe('panorama-agent beside a running agent', () => {
  const resources = new AsyncDisposableStack()
  const shared: { site?: AgentSite } = {}

  beforeAll(async () => {
    const site = resources.use(await createAgentSite())
    await site.publish('a', 'content')
    site.setPassword('first')
    const agent = site.start()
    await agent.until(({ artifacts, cameras }) => [...artifacts, ...cameras].every(({ state }) => state === 'ok'))
    shared.site = site
  })

  afterAll(async () => {
    await resources.disposeAsync()
  })

  async function ask(...args: readonly string[]): Promise<Outcome> {
    return await agent(...args, '--config', shared.site?.appliance.configFile ?? '')
  }

  it('shows the status for people, one line per part', async () => {
    const { code, stdout, stderr } = await ask('status')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const part of ['agent', 'identity', 'credentials', 'artifact model', 'camera dock-1', 'logs']) {
      expect(stdout).toMatch(new RegExp(`^${part} +(ok|running)`, 'm'))
    }
  })

  it('asks the agent at its usual place when the configuration has become faulty, and names the fault where none runs', async () => {
    const { folder = '', appliance } = shared.site ?? {}
    const configFile = join(folder, 'faulty.json')
    await writeFile(configFile, '{')
    const stdout = new PassThrough()
    const signal = AbortSignal.timeout(10_000)
    const context = { signal, stdout, stderr: new PassThrough(), service: {}, onHangup: () => undefined }
    const usualSocket = socketPathIn(appliance?.runtimeFolder ?? '')
    await status({ configFile, json: true, usualSocket }, context)
    expect(JSON.parse(String(stdout.read()))).toMatchObject({ version: 1 })
    const nowhere = status({ configFile, json: true, usualSocket: join(folder, 'no.sock') }, context)
    await expect(nowhere).rejects.toThrow(`${configFile} has 1 fault`)
  })

  it('asks the agent in the runtime folder that a faulty configuration names', async () => {
    const { folder = '', appliance } = shared.site ?? {}
    const configFile = join(folder, 'faulty-with-paths.json')
    await writeFile(configFile, JSON.stringify({ devise: {}, paths: { runtime: appliance?.runtimeFolder } }))
    const { code, stdout } = await agent('status', '--config', configFile)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^agent +running/m)
  })

  it('shows the whole status as one line of JSON', async () => {
    const { code, stdout } = await ask('status', '--json')
    expect(code).toBe(0)
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(JSON.parse(stdout)).toMatchObject({
      version: 1,
      agent: { version: agentVersion },
      artifacts: [{ name: 'model', state: 'ok', phase: 'idle' }],
      cameras: [{ name: 'dock-1', state: 'ok' }],
      overdue: [],
    })
  })

  it.each([[[]], [['model']]])('syncs now: sync %j', async (names) => {
    const path = `new-${names.length}`
    await shared.site?.publish(path, 'new')
    const { code, stdout } = await ask('sync', ...names)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^model: release [0-9a-f]{64}, \d+ files, \d+ bytes\n$/)
    expect([...(shared.site?.countGets().keys() ?? [])]).toContain(path)
  })

  it.each([[[]], [['dock-1']]])('refreshes now: refresh %j', async (names) => {
    shared.site?.setPassword(`changed-${names.length}`)
    const { versionId } = (JSON.parse((await ask('status', '--json')).stdout) as { cameras: [{ versionId: string }] })
      .cameras[0]
    const { code, stdout } = await ask('refresh', ...names)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^dock-1: version [0-9a-f-]{36}\n$/)
    expect(stdout).not.toContain(versionId)
  })

  it.each([
    ['sync', 'artifact'],
    ['refresh', 'camera'],
  ])('refuses an unknown name with a hint: %s', async (verb, kind) => {
    const { code, stdout, stderr } = await ask(verb, 'no such/name%')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `panorama-agent: no ${kind} is named "no such/name%"\nhint: panorama-agent status lists the names\n`,
    )
  })

  it('checks a configuration without a fault', async () => {
    const { code, stdout, stderr } = await ask('config', 'check')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(`${shared.site?.appliance.configFile ?? ''} has no fault\n`)
  })

  it('finds the agent by its socket alone', async () => {
    const socket = join(shared.site?.appliance.runtimeFolder ?? '', 'agent.sock')
    expect((await agent('status', '--socket', socket)).stdout).toMatch(/^agent +running/m)
  })
})

describe('panorama-agent alone', () => {
  it('runs on the locked Node 26', () => {
    expect(process.version).toMatch(/^v26\./)
    expect(process.execPath).toContain(join('node_modules', 'node-linux-'))
  })

  it('tells its version from the sources, by type stripping', async () => {
    expect(await agent('--version')).toEqual({ code: 0, stdout: `${agentVersion}\n`, stderr: '' })
  })

  it.each([['status'], ['sync'], ['refresh']])('says with a hint that no agent answers: %s', async (verb) => {
    const { code, stdout, stderr } = await agent(verb, '--socket', '/nonexistent/agent.sock')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^panorama-agent: no agent answers at \/nonexistent\/agent\.sock.*\nhint: start it/)
  })

  it('says in one go which configuration cannot be read', async () => {
    const { code, stderr } = await agent('status', '--config', '/nonexistent/config.json')
    expect(code).toBe(78)
    expect(stderr).toContain('/nonexistent/config.json')
  })

  it.each([[['dance']], [['status', '--nonsense']], [['sync', 'one', 'two']], [[]]])(
    'ends with the exit code of wrong usage: %j',
    async (args) => {
      const { code, stdout, stderr } = await agent(...args)
      expect({ code, stdout }).toEqual({ code: 64, stdout: '' })
      expect(stderr).not.toBe('')
    },
  )
})

async function agent(...args: readonly string[]): Promise<Outcome> {
  const [node = '', ...script] = agentCommand
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  execFile(node, [...script, ...args], { cwd: root, timeout: 20_000 }, (error, stdout, stderr) => {
    resolve({ code: error === null ? 0 : (error.code ?? 'killed'), stdout, stderr })
  })
  return await promise
}
