import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import { createAgentSite, type AgentSiteOptions } from '../support/agent-site.ts'
import { installedContents } from '../support/installed-artifact.ts'
import { mountSmallDisk, whyNoMount } from '../support/small-disk.ts'
import { exitOf } from '../support/wait-until.ts'

const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because no file system can be mounted here: ${noMount}`)

const smallDisk: AgentSiteOptions = { config: () => ({ downloads: { minFreeBytes: 0 } }) }

it.skipIf(noMount !== undefined)(
  'keeps the installed release on a full disk, says so, and recovers without a restart',
  async () => {
    await using site = await createAgentSite(smallDisk)
    const { stateFolder } = site.appliance
    await mkdir(stateFolder)
    await using _ = await mountSmallDisk(stateFolder)
    const small = Buffer.from('content')
    await site.publish('a', small)
    const agent = site.start()
    await agent.until(isInstalled)
    const ballast = join(stateFolder, 'ballast')
    await writeFile(ballast, randomBytes(6_000_000))
    const big = randomBytes(4_000_000)
    await site.publish('big', big)
    await site.sync()
    const { artifacts } = await agent.until(({ artifacts: [artifact] }) => artifact?.state === 'failing')
    expect(artifacts[0]?.lastError?.message).toContain('no space is left for artifacts')
    expect(artifacts[0]?.lastError?.hint).toContain('free space')
    expect(await installedContents(site.artifactFolder)).toEqual(new Map([['a', small]]))

    await rm(ballast)
    await site.sync()
    const { agent: running } = await agent.until((status) => isInstalled(status) && status.artifacts[0]?.files === 2)
    expect(running.pid).toBe(agent.pid)
    expect(await installedContents(site.artifactFolder)).toEqual(
      new Map([
        ['a', small],
        ['big', big],
      ]),
    )
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
  },
)

it.skipIf(noMount !== undefined)('makes room from a release that did not fit for one that fits', async () => {
  await using site = await createAgentSite(smallDisk)
  const { cloud } = site
  const { stateFolder } = site.appliance
  await mkdir(stateFolder)
  await using _ = await mountSmallDisk(stateFolder, '1536k')
  await site.publish('first', randomBytes(300_000))
  const agent = site.start()
  await agent.until(isInstalled)
  const parts = Array.from({ length: 25 }, (_, index) => `part-${index}`)
  for (const part of parts) await site.publish(part, randomBytes(60_000))
  await site.sync()
  await agent.until(({ artifacts: [artifact] }) => artifact?.state === 'failing')

  for (const path of ['first', ...parts])
    await cloud.s3.deleteObject({ bucket: cloud.names.bucket, key: `model/${path}` })
  const fits = randomBytes(700_000)
  await site.publish('fits', fits)
  await site.sync()

  await agent.until(isInstalled)
  expect(await installedContents(site.artifactFolder)).toEqual(new Map([['fits', fits]]))
  expect(await agent.stop()).toEqual({ code: 0, signal: null })
})

it.skipIf(noMount !== undefined)('gives up the previous release for one that fits beside the current one', async () => {
  await using site = await createAgentSite(smallDisk)
  const { stateFolder } = site.appliance
  await mkdir(stateFolder)
  await using _ = await mountSmallDisk(stateFolder, '1536k')
  await site.publish('model', randomBytes(300_000))
  const agent = site.start()
  await agent.until(isInstalled)
  await site.publish('model', randomBytes(400_000))
  await site.sync()
  const fits = randomBytes(900_000)
  await site.publish('model', fits)
  await site.sync()
  await agent.until(({ artifacts: [artifact] }) => artifact?.state === 'failing')

  await site.sync()

  await agent.until(isInstalled)
  expect(await installedContents(site.artifactFolder)).toEqual(new Map([['model', fits]]))
  expect(await agent.stop()).toEqual({ code: 0, signal: null })
})

it.skipIf(noMount !== undefined)(
  'keeps the previous release when one does not fit without it either, and says by how much',
  async () => {
    await using site = await createAgentSite(smallDisk)
    const { stateFolder } = site.appliance
    await mkdir(stateFolder)
    await using _ = await mountSmallDisk(stateFolder, '1536k')
    await site.publish('model', randomBytes(300_000))
    const agent = site.start()
    await agent.until(isInstalled)
    await site.publish('model', randomBytes(400_000))
    await site.sync()
    const trees = await releasesIn(site.artifactFolder)
    expect(trees).toHaveLength(2)

    await site.publish('model', randomBytes(1_400_000))
    for (let pass = 0; pass < 2; pass += 1) await site.sync()
    const { artifacts } = await agent.until(({ artifacts: [artifact] }) => artifact?.state === 'failing')
    const [, free = 0, missing = 0] =
      /1400000 bytes are to be fetched, (\d+) are free, .* (\d+) bytes would be missing/
        .exec(artifacts[0]?.lastError?.message ?? '')
        ?.map(Number) ?? []
    // 300,000 bytes are 74 pages
    expect(missing).toBe(1_400_000 - free - 74 * 4096)
    expect(await releasesIn(site.artifactFolder)).toEqual(trees)

    const fits = randomBytes(500_000)
    await site.publish('model', fits)
    await site.sync()
    await agent.until(isInstalled)
    expect(await installedContents(site.artifactFolder)).toEqual(new Map([['model', fits]]))
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
  },
)

it.skipIf(noMount !== undefined)(
  'leaves free what has to stay free, says how much is missing, and recovers',
  async () => {
    await using site = await createAgentSite({ config: () => ({ downloads: { minFreeBytes: 4_000_000 } }) })
    const { stateFolder } = site.appliance
    await mkdir(stateFolder)
    await using _ = await mountSmallDisk(stateFolder)
    const ballast = join(stateFolder, 'ballast')
    await writeFile(ballast, randomBytes(3_000_000))
    await site.publish('model', randomBytes(3_000_000))
    const agent = site.start()
    const { artifacts } = await agent.until(({ artifacts: [artifact] }) => artifact?.state === 'failing')
    expect(artifacts[0]?.lastError?.message).toMatch(
      /3000000 bytes are to be fetched, \d+ are free, and 4000000 have to/,
    )
    expect(site.countGets().size).toBe(0)

    await rm(ballast)
    await site.sync()

    await agent.until(isInstalled)
  },
)

it('says which folder it cannot make when the state folder cannot be there', async () => {
  await using site = await createAgentSite()
  await writeFile(site.appliance.stateFolder, 'a file where the folder should be')
  const agent = site.start()
  expect(await exitOf(agent)).toEqual({ code: 1, signal: null })
  expect(agent.output).toContain(site.appliance.stateFolder)
  expect(agent.output).toMatch(/hint: /)
})

async function releasesIn(artifactFolder: string): Promise<readonly string[]> {
  return (await readdir(join(artifactFolder, 'releases'))).filter((name) => !name.endsWith('.json')).sort()
}

function isInstalled({ artifacts }: StatusDocument): boolean {
  return artifacts.every(({ state, releaseId }) => state === 'ok' && releaseId !== undefined)
}
