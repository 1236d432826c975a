import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { listenForNotify } from '../support/notify-socket.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const secretId = 'panorama/shared/dock-1'

/** A site whose agent has installed the release and written the camera file. */
async function runningSite(): Promise<{ site: AgentSite; agent: AgentProcess } & AsyncDisposable> {
  await using owned = new AsyncDisposableStack()
  const site = owned.use(await createAgentSite())
  await site.publish('weights.bin', 'content')
  site.setPassword('first')
  const agent = site.start()
  await agent.until(isWell)
  const kept = owned.move()
  return { site, agent, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** Replaces sections of the configuration file and asks the agent to read it. */
async function reload({ appliance }: AgentSite, agent: AgentProcess, sections: object): Promise<void> {
  await writeFile(appliance.configFile, JSON.stringify({ ...appliance.config, ...sections }))
  agent.kill('SIGHUP')
}

function isWell({ artifacts, cameras, logs }: StatusDocument): boolean {
  return [...artifacts, ...cameras, logs].every(({ state }) => state === 'ok')
}

const bothCameras = {
  cameras: {
    refreshSeconds: 30,
    streams: [
      { name: 'dock-1', secretId, probe: false },
      { name: 'dock-2', secretId, probe: false },
    ],
  },
}

describe('a reload', () => {
  it('takes a changed configuration into use in the same process, and leaves what is there as it is', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    const before = await stat(site.cameraFile)
    await reload(site, agent, bothCameras)
    const status = await agent.until((now) => now.cameras.length === 2 && isWell(now))
    expect(status.agent.pid).toBe(agent.pid)
    expect(status.credentials[0]?.fetches).toBe(1)
    expect((await stat(site.cameraFile)).ino).toBe(before.ino)
    expect(site.countGets().get('weights.bin')).toBe(1)
  })

  it('makes the next generation, which metrics records tell', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    const generations = (): readonly unknown[] =>
      arrivedMessages(site.cloud, `/aws/panorama/devices/${site.appliance.thingName}`, 'metrics').map(
        (record) => (JSON.parse(record) as { Generation: number }).Generation, // the agent's own record
      )
    await waitUntil('the first record arrives', () => generations().length > 0)
    await reload(site, agent, bothCameras)
    await agent.until((now) => now.cameras.length === 2 && isWell(now))
    await reload(site, agent, { device: { ...(site.appliance.config['device'] as object), name: 'renamed' } })
    await waitUntil('a record of the third generation arrives', () => generations().includes(3))
    expect(generations().slice(0, 2)).toEqual([1, 2])
  })

  it('removes the file of a camera that left the configuration, and no other', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    await reload(site, agent, bothCameras)
    await agent.until((now) => now.cameras.length === 2 && isWell(now))
    await reload(site, agent, {
      cameras: { refreshSeconds: 30, streams: [{ name: 'dock-2', secretId, probe: false }] },
    })
    await agent.until((now) => now.cameras.length === 1 && isWell(now))
    expect(await readdir(join(site.appliance.runtimeFolder, 'cameras'))).toEqual(['dock-2.json'])
  })

  it('keeps the configuration in use when the changed one is at fault, and names every fault', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    await reload(site, agent, { role: { alias: 'no spaces here' }, artifacts: [{ name: 'x' }] })
    await waitUntil('the fault is logged', () => agent.output.includes('the changed configuration is at fault'))
    for (const path of ['role.alias', 'artifacts[0].accessPoint']) expect(agent.output).toContain(path)
    const { artifacts, configuration } = await agent.status()
    expect(artifacts.map(({ name }) => name)).toEqual(['model'])
    expect(configuration).toMatchObject({
      state: 'fallback',
      faults: [{ path: 'role.alias' }, { path: 'artifacts[0].accessPoint' }],
    })
    await site.publish('weights.bin', 'changed')
    await site.sync()
    expect(await readFile(join(site.artifactFolder, 'current', 'weights.bin'), 'utf8')).toBe('changed')
  })

  it('replaces the session when the device or the role changes', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    await reload(site, agent, { role: { alias: 'unknown-alias' } })
    await agent.until((now) => now.credentials[0]?.state === 'failing')
    await reload(site, agent, {})
    const status = await agent.until((now) => isWell(now) && now.credentials[0]?.fetches === 1)
    expect(status.agent.pid).toBe(agent.pid)
  })

  it('goes on counting what became of log events, over generations and sessions', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    const accepted = async (): Promise<number> => (await agent.until((now) => isWell(now))).logs.accepted
    await agent.until(({ logs }) => logs.accepted > 0)
    const atFirst = await accepted()
    await reload(site, agent, bothCameras)
    await agent.until((now) => now.cameras.length === 2)
    const afterReload = await accepted()
    expect(afterReload).toBeGreaterThanOrEqual(atFirst)
    await reload(site, agent, { role: { alias: 'unknown-alias' } })
    const { logs } = await agent.until((now) => now.credentials[0]?.state === 'failing')
    expect(logs.accepted).toBeGreaterThanOrEqual(afterReload)
  })

  it.each([
    { why: 'its folders cannot be made', paths: { state: 'a-file/state', runtime: 'run' } },
    { why: 'its socket cannot be made', paths: { state: 'state', runtime: 'taken' } },
  ])('goes back to the configuration before when the new one cannot be started: $why', async ({ paths }) => {
    await using running = await runningSite()
    const { site, agent } = running
    await writeFile(join(site.folder, 'a-file'), '')
    await mkdir(join(site.folder, 'taken', 'agent.sock'), { recursive: true })
    await reload(site, agent, {
      paths: { state: join(site.folder, paths.state), runtime: join(site.folder, paths.runtime) },
    })
    await waitUntil('the failure is logged', () => agent.output.includes('the one before is taken up again'))
    expect((await agent.until(isWell)).agent.pid).toBe(agent.pid)
  })

  it('changes the level of the log', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    expect(agent.output).not.toContain(' DEBUG ')
    const logs = { ...(site.appliance.config['logs'] as object), level: 'debug' }
    await reload(site, agent, { logs })
    await site.publish('weights.bin', 'changed')
    await waitUntil('debug lines come', () => agent.output.includes(' DEBUG '))
  })

  it('loses no line of its own log that was not sent yet', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    const { cloud, appliance } = site
    const fault = cloud.faults.inject({ kind: 'reset' }, { service: 'logs' })
    await reload(site, agent, bothCameras)
    await agent.until((now) => now.cameras.length === 2)
    await writeFile(join(appliance.logsFolder, 'application.log'), 'a line\n')
    await waitUntil('the upload of its own log fails', () => agent.output.includes('of="stream occ_log"'))
    await reload(site, agent, {})
    await agent.until((now) => now.cameras.length === 1)
    fault[Symbol.dispose]()
    agent.kill('SIGTERM')
    await exitOf(agent)
    const group = `/aws/panorama/devices/${appliance.thingName}`
    const arrived = arrivedMessages(cloud, group, 'occ_log')
    const said = agent.output.split('\n').filter((line) => line !== '' && !line.endsWith('agent stopped'))
    for (const line of said) expect(arrived).toContain(line)
  })

  it('leaves nothing behind: fifty keep files, sockets and threads flat', async () => {
    await using running = await runningSite()
    const { site, agent } = running
    const count = async (): Promise<{ files: number; threads: number }> => ({
      files: (await readdir(`/proc/${agent.pid}/fd`)).length,
      threads: (await readdir(`/proc/${agent.pid}/task`)).length,
    })
    const reloadTo = async (cameras: number): Promise<void> => {
      await reload(site, agent, cameras === 2 ? bothCameras : {})
      await agent.until((now) => now.cameras.length === cameras && isWell(now))
    }
    for (const cameras of [2, 1, 2, 1]) await reloadTo(cameras)
    const before = await count()
    for (let round = 0; round < 25; round += 1) for (const cameras of [2, 1]) await reloadTo(cameras)
    const after = await count()
    expect(after.files).toBeLessThanOrEqual(before.files + 4) // connections that are kept alive come and go
    expect(after.threads).toBe(before.threads)
  })
})

describe('under a service manager', () => {
  it('is READY without a network, frames a reload, and says that it stops', async () => {
    await using site = await createAgentSite()
    const address = join(site.folder, 'notify')
    using socket = listenForNotify(address)
    using _ = site.cloud.faults.inject({ kind: 'reset' })
    const agent = site.start({ env: { NOTIFY_SOCKET: address, WATCHDOG_USEC: '2000000' } })
    const told: string[] = []
    const untilTold = async (pattern: RegExp): Promise<void> => {
      await waitUntil(`${pattern.source} is told`, () => {
        told.push(...socket.take().flat())
        return told.some((line) => pattern.test(line))
      })
    }
    await untilTold(/^READY=1$/)
    await untilTold(/^WATCHDOG=1$/)
    await untilTold(/^STATUS=Failing: credentials/)
    told.length = 0
    await reload(site, agent, bothCameras)
    await untilTold(/^RELOADING=1$/)
    await untilTold(/^READY=1$/)
    expect(told.indexOf('RELOADING=1')).toBeLessThan(told.indexOf('READY=1'))
    told.length = 0
    agent.kill('SIGTERM')
    expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
    await untilTold(/^STOPPING=1$/)
  })

  it('says nothing after it said that it stops, also when a reload is on its way, and stops in time', async () => {
    await using site = await createAgentSite()
    const address = join(site.folder, 'notify')
    using socket = listenForNotify(address)
    const agent = site.start({ env: { NOTIFY_SOCKET: address, WATCHDOG_USEC: '2000000' } })
    await agent.until(({ credentials }) => credentials[0]?.state === 'ok')
    using _ = site.cloud.faults.inject({ kind: 'latency', delayMs: 60_000 }, { service: 'logs' })
    await reload(site, agent, bothCameras)
    await waitUntil('the reload has begun', () => agent.output.includes('configuration is read anew'))
    agent.kill('SIGTERM')
    expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
    expect(agent.output).not.toContain('was cut off')
    expect(socket.take().at(-1)).toEqual(['STOPPING=1', 'STATUS=Stopping'])
  })

  it('kicks no watchdog that is meant for another process', async () => {
    await using site = await createAgentSite()
    const address = join(site.folder, 'notify')
    using socket = listenForNotify(address)
    const agent = site.start({ env: { NOTIFY_SOCKET: address, WATCHDOG_USEC: '200000', WATCHDOG_PID: '1' } })
    await agent.until(({ credentials }) => credentials[0]?.state === 'ok')
    await new Promise((resolve) => setTimeout(resolve, 500))
    const told = socket.take().flat()
    expect(told).toContain('READY=1')
    expect(told).not.toContain('WATCHDOG=1')
  })
})

it('refuses to work on the state of an agent that runs', async () => {
  await using running = await runningSite()
  const { site } = running
  const configFile = join(site.folder, 'second.json')
  const runtime = join(site.folder, 'second-run')
  const paths = { state: site.appliance.stateFolder, runtime }
  await writeFile(configFile, JSON.stringify({ ...site.appliance.config, paths }))
  const second = site.start({ configFile, runtimeFolder: runtime })
  expect(await exitOf(second)).toEqual({ code: 1, signal: null })
  expect(second.output).toContain(`another agent works on ${site.appliance.stateFolder}`)
})
