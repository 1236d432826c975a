import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import { agentCommand, type AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { listenForNotify } from '../support/notify-socket.ts'
import { whyNoStrace } from '../support/strace.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`skipped, because strace does not work here: ${noStrace}`)

const cameras = Array.from({ length: 100 }, (_, index) => `camera-${index}`)
const secretOf = (name: string): string => `panorama/shared/${name}`

/** A site with cameras of its own, whose secrets are there. */
async function siteWith(names: readonly string[]): Promise<AgentSite> {
  const streams = names.map((name) => ({ name, secretId: secretOf(name), probe: false }))
  const site = await createAgentSite({ config: () => ({ artifacts: [], cameras: { streams } }) })
  for (const name of names) {
    const document = { username: 'viewer', password: `password of ${name}`, streamUrl: `rtsp://${name}.example/1` }
    site.cloud.secrets.createSecret(secretOf(name), JSON.stringify(document))
  }
  return site
}

function areWell({ cameras, cameraSealing }: StatusDocument): boolean {
  return cameras.every(({ state }) => state === 'ok') && cameraSealing?.state === 'ok'
}

/** What a reboot does to the runtime folder. */
async function reboot({ appliance }: AgentSite): Promise<void> {
  await rm(appliance.runtimeFolder, { recursive: true, force: true })
}

/** Starts the agent, and resolves when it tells the service manager that it is ready; its socket answers before. */
async function startReady(site: AgentSite, env: Readonly<Record<string, string>> = {}): Promise<AgentProcess> {
  const address = join(site.folder, 'notify')
  using notify = listenForNotify(address)
  const agent = site.start({ env: { ...env, NOTIFY_SOCKET: address } })
  await waitUntil('the agent is ready', () => notify.take().flat().includes('READY=1'))
  return agent
}

function filesOf({ appliance }: AgentSite): ReadonlyMap<string, string> {
  const folder = join(appliance.runtimeFolder, 'cameras')
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]))
}

describe('after a reboot without network', () => {
  it('every camera has its last credentials before the agent is ready', async () => {
    await using site = await siteWith(cameras)
    const first = site.start()
    await first.until(areWell)
    await first.stop()
    const before = filesOf(site)
    expect(before.size).toBe(cameras.length)
    await reboot(site)
    using _ = site.cloud.faults.inject({ kind: 'reset' })
    const agent = await startReady(site)
    expect(filesOf(site)).toEqual(before)
    const { cameraSealing, cameras: parts } = await agent.status()
    expect(cameraSealing).toMatchObject({ state: 'ok', key: 'file' })
    expect(parts.filter(({ versionId }) => versionId === undefined)).toEqual([])
    await agent.until(({ credentials }) => credentials[0]?.state === 'failing')
    expect(agent.output).toMatch(/cameras have their last credentials, from sealed copies[^]*agent is ready/)
  })

  it('damaged, swapped and foreign copies are reported by name, and hold up no other', async () => {
    const names = ['damaged', 'swapped', 'well']
    await using site = await siteWith(names)
    const first = site.start()
    await first.until(areWell)
    await first.stop()
    const copies = join(site.appliance.stateFolder, 'cameras')
    expect((await readdir(copies)).sort()).toEqual(['damaged.sealed', 'swapped.sealed', 'well.sealed'])
    await writeFile(join(copies, 'damaged.sealed'), randomBytes(1_000))
    await writeFile(join(copies, 'swapped.sealed'), await readFile(join(copies, 'well.sealed')))
    await reboot(site)
    using off = site.cloud.faults.inject({ kind: 'reset' })
    const agent = await startReady(site)
    const { cameraSealing } = await agent.status()
    expect(cameraSealing?.state).toBe('failing')
    expect(cameraSealing?.lastError?.message).toMatch(/^the sealed copy of camera (damaged|swapped) .*; and 1 more$/)
    expect([...filesOf(site).keys()]).toEqual(['well.json'])
    const warnings = agent.output.split('\n').filter((line) => line.includes('the sealed copy of a camera is at fault'))
    expect(warnings).toHaveLength(2)
    off[Symbol.dispose]()
    await agent.until(areWell)
    expect([...filesOf(site).keys()].sort()).toEqual(['damaged.json', 'swapped.json', 'well.json'])
  })
})

describe('the key', () => {
  it("moves to systemd's credential when there is one, and takes the copies with it", async () => {
    await using site = await siteWith(['dock-1'])
    const first = site.start()
    await first.until(areWell)
    await first.stop()
    const credentials = join(site.folder, 'credentials')
    await mkdir(credentials)
    await writeFile(join(credentials, 'panorama-agent.sealing-key'), randomBytes(32))
    const env = { CREDENTIALS_DIRECTORY: credentials }
    await reboot(site)
    using _ = site.cloud.faults.inject({ kind: 'reset' })
    const second = await startReady(site, env)
    const served = {
      cameras: [{ versionId: expect.any(String) as string }],
      cameraSealing: { state: 'ok', key: 'systemd-credential' },
    }
    expect(await second.status()).toMatchObject(served)
    await second.stop()
    await rm(join(site.appliance.stateFolder, 'identity', 'sealing-key'))
    await reboot(site)
    const third = await startReady(site, env)
    expect(await third.status()).toMatchObject(served)
    expect(filesOf(site).get('dock-1.json')).toContain('password of dock-1')
  })

  it('of a wrong size stays as it is, is reported with a hint, and cameras go on', async () => {
    await using site = await siteWith(['dock-1'])
    const identity = join(site.appliance.stateFolder, 'identity')
    await mkdir(identity, { recursive: true })
    await writeFile(join(identity, 'sealing-key'), 'short')
    const agent = site.start()
    const { cameraSealing } = await agent.until(({ cameras: [camera] }) => camera?.state === 'ok')
    expect(cameraSealing).toMatchObject({
      state: 'failing',
      key: 'none',
      lastError: { message: expect.stringMatching(/no key of 32 bytes: 5 bytes$/) as string },
    })
    expect(cameraSealing?.lastError?.hint).toMatch(/backup/)
    expect(await readFile(join(identity, 'sealing-key'), 'utf8')).toBe('short')
    expect(filesOf(site).get('dock-1.json')).toContain('password of dock-1')
  })
})

describe('a reader in a loop', () => {
  it('finds the whole file at every look, over restarts, crashes, reloads and rotations', async () => {
    await using site = await siteWith(['dock-1', 'dock-2'])
    let agent: AgentProcess = site.start()
    await agent.until(areWell)
    using reader = readInALoop(join(site.appliance.runtimeFolder, 'cameras', 'dock-1.json'))
    await agent.stop()
    agent = site.start()
    await agent.until(areWell)
    agent.kill('SIGKILL')
    await exitOf(agent)
    agent = site.start()
    await agent.until(areWell)
    await writeFile(
      site.appliance.configFile,
      JSON.stringify({
        ...site.appliance.config,
        cameras: { streams: [{ name: 'dock-1', secretId: secretOf('dock-1'), probe: false }] },
      }),
    )
    agent.kill('SIGHUP')
    await agent.until((status) => status.cameras.length === 1 && areWell(status))
    for (const password of ['second', 'third']) {
      const document = { username: 'viewer', password, streamUrl: 'rtsp://dock-1.example/1' }
      site.cloud.secrets.rotateSecret(secretOf('dock-1'), JSON.stringify(document))
      await site.refresh()
      await waitUntil('the reader has had another look', () => reader.passwords.has(password))
    }
    expect(reader.misses).toEqual([])
    expect(reader.reads).toBeGreaterThan(100)
    expect([...reader.passwords]).toEqual(['password of dock-1', 'second', 'third'])
  })
})

describe.skipIf(noStrace !== undefined)('the agent, killed at a rename of its first pass', () => {
  it.each([1, 2, 3, 4, 5, 6, 7])('leaves whole copies only, and the next start goes on: number %i', async (nth) => {
    const names = ['dock-1', 'dock-2', 'dock-3']
    await using site = await siteWith(names)
    const calls = 'rename,renameat,renameat2'
    const killAtCall = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=KILL:when=${nth}`]
    const killed = site.start({
      command: ['strace', '-f', '-qq', '-o', '/dev/null', ...killAtCall, ...agentCommand],
      env: { UV_THREADPOOL_SIZE: '1' },
    })
    expect(await exitOf(killed)).toEqual({ code: null, signal: 'SIGKILL' })
    await reboot(site)
    const copies = await readdir(join(site.appliance.stateFolder, 'cameras')).catch(() => [])
    const sealed = copies.filter((name) => name.endsWith('.sealed'))
    using off = site.cloud.faults.inject({ kind: 'reset' })
    const agent = await startReady(site)
    expect((await agent.status()).cameraSealing).toMatchObject({ state: 'ok', key: 'file' })
    expect([...filesOf(site).keys()].sort()).toEqual(sealed.map((name) => name.replace('.sealed', '.json')).sort())
    off[Symbol.dispose]()
    await agent.until(areWell)
    expect((await readdir(join(site.appliance.stateFolder, 'cameras'))).sort()).toEqual(
      names.map((name) => `${name}.sealed`),
    )
  })
})

interface Reader extends Disposable {
  readonly reads: number
  readonly misses: readonly string[]
  readonly passwords: ReadonlySet<string>
}

function readInALoop(path: string): Reader {
  const found = { reads: 0, misses: new Array<string>(), passwords: new Set<string>() }
  const look = (): void => {
    try {
      const { password } = JSON.parse(readFileSync(path, 'utf8')) as { password: string }
      found.passwords.add(password)
      found.reads += 1
    } catch (error) {
      found.misses.push(String(error))
    }
  }
  const timer = setInterval(look, 1)
  return {
    get reads() {
      return found.reads
    },
    misses: found.misses,
    passwords: found.passwords,
    [Symbol.dispose]: () => {
      clearInterval(timer)
    },
  }
}
