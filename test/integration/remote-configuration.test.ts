import { execFile } from 'node:child_process'
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { describe, expect, it } from 'vitest'

import type { ConfigurationReport, StatusDocument } from '../../agent/status/status-document.ts'
import { agentCommand, type AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { ConfigChanger, configuredAgentCommand } from '../support/config-changer.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

interface RunningSite extends AsyncDisposable {
  readonly site: AgentSite
  readonly agent: AgentProcess
  readonly changer: ConfigChanger
}

/** A site whose agent has installed the release and written the camera file. */
async function runningSite(env: Readonly<Record<string, string>> = {}): Promise<RunningSite> {
  await using owned = new AsyncDisposableStack()
  const site = owned.use(
    await createAgentSite({
      config: ({ folder, cloud: { names } }) => ({
        artifacts: [{ name: 'model', accessPoint: names.accessPointArn, prefix: 'model/', pollSeconds: 3_600 }],
        cameras: {
          refreshSeconds: 3_600,
          streams: [{ name: 'dock-1', secretId: 'panorama/shared/dock-1', probe: false }],
        },
        logs: { flushSeconds: 1, sources: [{ kind: 'file', path: join(folder, 'logs', '*.log') }] },
      }),
    }),
  )
  await site.publish('weights.bin', 'content')
  site.setPassword('first')
  const agent = start(site, env)
  await agent.until(isWell)
  const kept = owned.move()
  return { site, agent, changer: new ConfigChanger(site.appliance), [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

function start(site: AgentSite, env: Readonly<Record<string, string>> = {}): AgentProcess {
  return site.start({ command: configuredAgentCommand, env })
}

function isWell({ artifacts, cameras, logs }: StatusDocument): boolean {
  return [...artifacts, ...cameras, logs].every(({ state }) => state === 'ok')
}

function isOn(version: number): (status: StatusDocument) => boolean {
  return ({ configuration }) => configuration?.version === version && configuration.state === 'accepted'
}

/** How often each service was asked for anything but to take logs. */
function asked({ cloud }: AgentSite): Readonly<Record<string, number>> {
  return Object.fromEntries(
    ['credentials', 's3', 'secretsmanager', 'sts'].map((service) => [service, cloud.requests.count({ service })]),
  )
}

/** The TCP connections of a process, by what the kernel calls their sockets. */
async function connections({ pid }: AgentProcess): Promise<ReadonlySet<string>> {
  const folder = `/proc/${pid}/fd`
  const names = await readdir(folder)
  const links = await Promise.all(names.map((name) => readlink(join(folder, name)).catch(() => '')))
  const open = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
  const table = await readFile(`/proc/${pid}/net/tcp`, 'utf8')
  return new Set(
    table
      .split('\n')
      .flatMap((line) => line.trim().split(/\s+/)[9] ?? [])
      .filter((inode) => open.has(inode)),
  )
}

async function command(site: AgentSite, ...args: readonly string[]): Promise<string> {
  const [node = '', ...rest] = agentCommand
  const { stdout } = await promisify(execFile)(node, [...rest, ...args, '--config', site.appliance.configFile])
  return stdout
}

const job = { jobId: 'job-1', executionNumber: 1 }

describe('a trivial change', () => {
  it('fetches no credentials, asks for no secret and no listing, and closes no connection', async () => {
    await using running = await runningSite()
    const { site, agent, changer } = running
    const before = { asked: asked(site), connections: await connections(agent) }
    for (const flushSeconds of [2, 3, 4]) {
      const executed = { ...job, executionNumber: flushSeconds }
      await changer.propose({ patch: { logs: { flushSeconds } }, job: executed })
      expect(await changer.outcome(executed)).toMatchObject({ accepted: true })
    }
    const status = await agent.until(isOn(3))
    expect(status.agent.pid).toBe(agent.pid)
    expect(asked(site)).toEqual(before.asked)
    expect(before.asked).toMatchObject({ credentials: 1, secretsmanager: 1 })
    const after = await connections(agent) // of which there may be one more, for logs that are sent side by side
    expect([...before.connections].filter((inode) => !after.has(inode))).toEqual([])
    expect(before.connections.size).toBeGreaterThan(0)
    expect(status.credentials[0]?.fetches).toBe(1)
  })

  it('lets a pass of the artifacts go on that is on its way', async () => {
    await using running = await runningSite()
    const { site, agent, changer } = running
    const stalled = site.cloud.faults.inject(
      { kind: 'stall', afterBytes: 100_000 },
      { service: 's3', action: 'GetObject' },
    )
    await site.publish('big.bin', Buffer.alloc(300_000, 'x'))
    const pass = site.sync()
    await agent.until(({ artifacts: [artifact] }) => (artifact?.progress?.bytes ?? 0) >= 50_000)
    await changer.propose({ patch: { logs: { flushSeconds: 2 } }, job })
    expect(await changer.outcome(job)).toMatchObject({ accepted: true })
    const { artifacts } = await agent.status()
    expect(artifacts[0]?.progress?.bytes).toBeGreaterThanOrEqual(50_000)
    expect(site.countGets().get('big.bin')).toBe(1)
    stalled[Symbol.dispose]()
    agent.kill('SIGKILL')
    await pass
  })

  it('restarts the workers whose configuration it is', async () => {
    await using running = await runningSite()
    const { site, agent, changer } = running
    const before = asked(site)
    await changer.propose({ patch: { cameras: { refreshSeconds: 1_800 } }, job })
    await changer.outcome(job)
    await agent.until(isWell)
    await waitUntil('the secret is read', () => asked(site)['secretsmanager'] === 2)
    expect(asked(site)).toEqual({ ...before, secretsmanager: 2 })
  })
})

describe('a change of the session', () => {
  it('is confirmed with credentials of its own', async () => {
    await using running = await runningSite()
    const { agent, changer } = running
    await changer.propose({ patch: { device: { name: 'renamed' } }, job })
    expect(await changer.outcome(job)).toEqual({ accepted: true, number: 1 })
    const { device, credentials } = await agent.until((now) => isOn(1)(now) && isWell(now))
    expect(device.name).toBe('renamed')
    expect(credentials[0]?.fetches).toBe(1)
  })

  it.each([
    { what: 'the role alias', patch: { role: { alias: 'unknown-alias' } } },
    { what: 'the endpoint', patch: { endpoints: { credentials: '127.0.0.1:1' } } },
    { what: 'the certificate', patch: { identity: { certificate: '/nowhere/certificate.pem' } } },
  ])('that would cut the appliance off undoes itself: $what', async ({ patch }) => {
    await using running = await runningSite({ PANORAMA_TEST_SECOND_MS: '50' })
    const { site, agent, changer } = running
    await changer.propose({ patch, job, confirmSeconds: 30 })
    await agent.until(({ configuration }) => configuration?.state === 'trial')
    const outcome = await changer.outcome(job)
    expect(outcome).toMatchObject({ reverted: true, number: 1 })
    expect(JSON.stringify(outcome)).toContain('no valid credentials')
    const status = await agent.until((now) => isOn(0)(now) && isWell(now))
    expect(status.agent.pid).toBe(agent.pid)
    await site.publish('weights.bin', 'changed')
    await site.sync()
    expect(await readFile(join(site.artifactFolder, 'current', 'weights.bin'), 'utf8')).toBe('changed')
  })
})

describe('a change that is not confirmed', () => {
  it('is taken back in the same session', async () => {
    await using running = await runningSite()
    const { agent, changer } = running
    const bad = { jobId: 'bad', executionNumber: 1 }
    await changer.propose({ patch: { logs: { level: 'warn' } }, job: bad, confirmSeconds: 30 })
    expect(await changer.outcome(bad)).toMatchObject({ reverted: true })
    const { credentials } = await agent.until(isOn(0))
    expect(credentials[0]?.fetches).toBe(1)
  })

  it('is taken back when its generation cannot be made, and the one before goes on', async () => {
    await using running = await runningSite({ PANORAMA_TEST_AT_DEBUG: 'throw' })
    const { site, agent, changer } = running
    await changer.propose({ patch: { logs: { level: 'debug' }, cameras: { refreshSeconds: 60 } }, job })
    const reason = 'it could not be started: injected by the test'
    expect(await changer.outcome(job)).toEqual({ reverted: true, number: 1, reason })
    const status = await agent.until((now) => isOn(0)(now) && isWell(now))
    expect(status.agent.pid).toBe(agent.pid)
    await site.refresh()
    expect(asked(site)).toMatchObject({ credentials: 1 })
  })

  it('is taken back when its session cannot be made', async () => {
    await using running = await runningSite({ PANORAMA_TEST_AT_DEBUG: 'throw' })
    const { agent, changer } = running
    await changer.propose({ patch: { logs: { level: 'debug' }, device: { name: 'renamed' } }, job })
    expect(await changer.outcome(job)).toMatchObject({ reverted: true })
    const status = await agent.until((now) => isOn(0)(now) && isWell(now))
    expect([status.agent.pid, status.device.name]).toEqual([agent.pid, status.device.id])
  })

  it('is taken back at the start after it crashed the process three times', async () => {
    await using running = await runningSite({ PANORAMA_TEST_AT_DEBUG: 'kill' })
    const { site, agent, changer } = running
    await changer.propose({ patch: { logs: { level: 'debug' } }, job })
    expect(await exitOf(agent)).toMatchObject({ signal: 'SIGKILL' })
    for (let crashes = 1; crashes < 3; crashes += 1) {
      const crashing = start(site, { PANORAMA_TEST_AT_DEBUG: 'kill' })
      expect(await exitOf(crashing)).toMatchObject({ signal: 'SIGKILL' })
    }
    const restarted = start(site, { PANORAMA_TEST_AT_DEBUG: 'kill' })
    await restarted.until((now) => isOn(0)(now) && isWell(now))
    expect(await changer.outcome(job)).toEqual({
      reverted: true,
      number: 1,
      reason: 'the process ended 3 times while it was on trial',
    })
  })
})

describe('the configuration in use', () => {
  it('is shown with where each value is from, whether the agent runs or not', async () => {
    await using running = await runningSite()
    const { site, agent, changer } = running
    await changer.propose({ patch: { logs: { flushSeconds: 2 } }, job })
    await changer.outcome(job)
    await agent.until(isOn(1))
    const [text, json] = [
      await command(site, 'config', 'show', '--origin'),
      await command(site, 'config', 'show', '--json'),
    ]
    agent.kill('SIGTERM')
    await exitOf(agent)
    expect(await command(site, 'config', 'show', '--origin')).toBe(text)
    expect(await command(site, 'config', 'show', '--json')).toBe(json)
    expect(text).toMatch(/^# configuration version 1, job job-1 \(accepted\), digest [0-9a-f]{64}$/m)
    expect(text).toMatch(/^logs\.flushSeconds = 2 +# configuration version 1, job job-1$/m)
    expect(text).toMatch(/^device\.thingName = "panorama_dock-1_Thing" +# base file$/m)
    expect(text).toMatch(/^logs\.level = "info" +# default$/m)
    const { configuration, config, values } = JSON.parse(json) as Partial<ConfigurationReport>
    expect(configuration).toMatchObject({ version: 1, state: 'accepted', job, faults: [] })
    expect(config).toMatchObject({ logs: { flushSeconds: 2, level: 'info' } })
    expect(values).toBe(undefined)
  })

  it('shows in the status, and a base file is checked together with the overlay', async () => {
    await using running = await runningSite()
    const { site, agent, changer } = running
    await changer.propose({ patch: { endpoints: { dualStack: false } }, job })
    await agent.until(isOn(1))
    expect(await command(site, 'status')).toMatch(
      /^configuration +accepted +version 1, job job-1, digest [0-9a-f]{12}$/m,
    )
    expect(await command(site, 'config', 'check')).toContain('with configuration version 1 over it, has no fault')
    const { config, configFile } = site.appliance
    await writeFile(configFile, JSON.stringify({ ...config, logs: { flushSeconds: -1 } }))
    await expect(command(site, 'config', 'check')).rejects.toThrow(/logs\.flushSeconds: must be at least/)
  })

  it('is that of the copy when the base file is at fault at the start, and the exit code is 78 only without one', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    agent.kill('SIGTERM')
    await exitOf(agent)
    const { configFile, config, stateFolder } = site.appliance
    await writeFile(configFile, JSON.stringify({ ...config, role: {} }))
    const restarted = site.start()
    const { configuration } = await restarted.until(isWell)
    expect(configuration).toMatchObject({ version: 0, state: 'fallback', faults: [{ path: 'role.alias' }] })
    expect(restarted.output).toContain('the copy of the last one that was in use is used')
    restarted.kill('SIGTERM')
    await exitOf(restarted)
    await writeFile(join(stateFolder, 'config', 'base.json'), 'x')
    expect(await exitOf(site.start())).toEqual({ code: 78, signal: null })
  })
})
