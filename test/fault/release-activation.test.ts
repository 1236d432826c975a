import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { agentCommand, type AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { installedContents, unfinishedFiles, type Contents } from '../support/installed-artifact.ts'
import { whyNoStrace } from '../support/strace.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`skipped, because strace does not work here: ${noStrace}`)

const calls = 'rename,renameat,renameat2'

describe('the agent, killed while it asks whether a release is healthy', () => {
  it('asks anew after the restart, and believes a file that was touched meanwhile', async () => {
    await using site = await siteWithFile(60)
    await publish(site, 'first')
    await install(site)
    await publish(site, 'second')
    const killed = site.start()
    await killed.until(({ artifacts: [model] }) => model?.health === 'asking')
    killed.kill('SIGKILL')
    await exitOf(killed)
    await touch(site)
    const restarted = site.start()
    await restarted.until(({ artifacts: [model] }) => model?.health === 'healthy')
    expect(await nameOf(site)).toBe('second')
  })

  it('goes back after the restart where nothing says that it is healthy, also without network', async () => {
    await using site = await siteWithFile(5)
    await publish(site, 'first')
    await install(site)
    await publish(site, 'second')
    const killed = site.start()
    await killed.until(({ artifacts: [model] }) => model?.health === 'asking')
    killed.kill('SIGKILL')
    await exitOf(killed)
    using _ = site.cloud.faults.inject({ kind: 'reset' }, { service: 's3' })
    const restarted = site.start()
    await waitUntil('the release before is current', async () => (await nameOf(site)) === 'first')
    expect((await restarted.status()).artifacts[0]?.quarantined).toHaveLength(1)
  })
})

describe.skipIf(noStrace !== undefined)('the agent, killed at a rename around a switch', () => {
  // of one pass: what it remembers, content, index, tree, record and link, the verdict, the way back
  it.each([2, 5, 6, 7, 8, 9, 10])('has a whole release, and ends where it should: number %i', async (nth) => {
    await using site = await siteWithFile(5)
    await publish(site, 'first')
    await install(site)
    await publish(site, 'second')
    const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=KILL:when=${nth}`]
    const killed = site.start({
      command: ['strace', '-f', '-qq', '-o', '/dev/null', ...inject, ...agentCommand],
      env: { UV_THREADPOOL_SIZE: '1' },
    })
    const ended = await Promise.race([exitOf(killed, 60_000), settled(killed)])
    console.info(`rename ${nth}: ${ended === 'settled' ? 'came after the pass' : 'killed'}, then ${await state(site)}`)
    if (ended === 'settled') await killed.stop()
    expect(['first', 'second']).toContain(await nameOf(site))
    const restarted = site.start()
    await settled(restarted)
    expect(await nameOf(site)).toBe('first')
    expect(await unfinishedFiles(site.appliance.stateFolder)).toEqual([])
  })
})

/** Resolves when the second release was tried and is in quarantine, and the first is current again. */
async function settled(agent: AgentProcess): Promise<'settled'> {
  await agent.until(
    ({ artifacts: [model] }) => model?.quarantined?.length === 1 && model.state === 'failing' && model.phase === 'idle',
    60_000,
  )
  return 'settled'
}

async function siteWithFile(withinSeconds: number): Promise<AgentSite> {
  return await createAgentSite({
    config: ({ folder, cloud }) => {
      const health = { file: join(folder, 'healthy'), withinSeconds }
      const { accessPointArn: accessPoint } = cloud.names
      const model = { name: 'model', accessPoint, prefix: 'model/', pollSeconds: 10, health }
      return { cameras: {}, logs: {}, artifacts: [model] }
    },
  })
}

/** Has an agent install what is published, and be content with it. */
async function install(site: AgentSite): Promise<void> {
  const agent = site.start()
  await agent.until(({ artifacts: [model] }) => model?.health === 'asking')
  await touch(site)
  await agent.until(({ artifacts: [model] }) => model?.health === 'healthy' && model.state === 'ok')
  await agent.stop()
}

async function touch(site: AgentSite): Promise<void> {
  await writeFile(join(site.folder, 'healthy'), randomBytes(4))
}

/** Two files that must never be of two releases. */
async function publish(site: AgentSite, name: string): Promise<void> {
  for (const path of ['a', 'b/c']) await site.publish(path, `${name} ${path}`)
}

/** The name of the installed release, once both files were found to be of it. */
async function nameOf(site: AgentSite): Promise<string> {
  const contents: Contents = (await installedContents(site.artifactFolder)) ?? new Map()
  const names = [...contents].map(([path, content]) => String(content).replace(` ${path}`, ''))
  expect(names).toHaveLength(2)
  expect(new Set(names).size).toBe(1)
  return names[0] ?? ''
}

async function state(site: AgentSite): Promise<string> {
  const text = await readFile(join(site.artifactFolder, 'activation.json'), 'utf8')
  const { gate, goingTo, quarantine } = JSON.parse(text) as { gate?: object; goingTo?: string; quarantine: object[] }
  const words = [gate && 'gate', goingTo && 'going back', quarantine.length > 0 && 'quarantine']
  return `${await nameOf(site)} is current; ${words.filter(Boolean).join(', ') || 'nothing open'}`
}
