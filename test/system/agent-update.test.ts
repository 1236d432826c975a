import { generateKeyPairSync, randomInt, sign, type KeyObject } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { Appliance, isWell, thingName } from './support/appliance.ts'
import { repack } from './support/package-build.ts'
import { pollUntil } from './support/poll-until.ts'
import { askRoot } from './support/root-request.ts'

const updates = '/var/lib/panorama-agent-update'
const lib = 'usr/lib/panorama-agent'
/** Above what is installed, and above each other in no order that matters: none of the bad ones stays. */
const versions = { good: '7.0.0', crashing: '8.1.0', silent: '8.2.0', forged: '8.3.0', tampered: '8.4.0' }
type Name = keyof typeof versions
const names: readonly Name[] = ['good', 'crashing', 'silent', 'forged', 'tampered']
const cuts = Number(process.env['PANORAMA_TEST_UPDATE_CUTS'] ?? 1)
/** An update takes about as long, until it is confirmed or taken back. */
const longestCutMs = { good: 12_000, crashing: 30_000 }
const vendor = generateKeyPairSync('ed25519')
const stranger = generateKeyPairSync('ed25519')

describe.skipIf(await lacksMosquitto('updates of the agent'))('an update of the agent', () => {
  const owned = new AsyncDisposableStack()
  let cloud: IotCloud
  let appliance: Appliance
  let jobs = 0

  beforeAll(async () => {
    const packages = await buildPackages(owned.use(await tempFolder()).path)
    cloud = owned.use(await startIotCloud())
    for (const name of names) await publish(cloud, name, packages[name])
    appliance = owned.use(
      await Appliance.working({
        cloud,
        config: ({ names: { accessPointArn: accessPoint } }) => ({
          artifacts: names.map((name) => ({ name, accessPoint, prefix: `${name}/`, pollSeconds: 3_600 })),
        }),
        prepare: allowUpdates,
      }),
    )
    await appliance.bring(inject('packageFile'))
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  beforeEach(async () => {
    if ((await installed()) === agentVersion) return
    await installOriginal()
  })

  it('installs a higher version, which confirms itself, and leaves nothing of the trial', async () => {
    expect(await ended(update('good'))).toEqual({
      status: 'SUCCEEDED',
      statusDetails: { version: versions.good, from: agentVersion },
    })
    expect(await installed()).toBe(versions.good)
    expect(await lastUpdate()).toMatchObject({ outcome: 'confirmed', from: agentVersion, to: versions.good })
    expect(await appliance.unit.restarts()).toBe(0)
    await untilNothingIsLeft()
    expect(await keptVersion()).toBe(versions.good)
  })

  it('goes back from a version that does not start', async () => {
    expect(await ended(update('crashing'))).toEqual({
      status: 'FAILED',
      statusDetails: { reason: 'it failed to start 3 times', version: agentVersion, tried: versions.crashing },
    })
    await isAsBefore()
  })

  it('goes back from a version that has not confirmed itself in time', async () => {
    const id = `silent${Date.now()}`
    expect(await askRoot(appliance, { verb: 'install-update', argument: `silent:10:${id}` })).toMatchObject({
      result: 'done',
    })
    await pollUntil('the update ended', async () => (await lastUpdate())?.id === id)
    expect(await lastUpdate()).toMatchObject({ outcome: 'rolled-back', from: agentVersion, to: versions.silent })
    expect((await lastUpdate())?.reason).toMatch(/^not confirmed within 10 s/)
    await isAsBefore()
  })

  it.each<Name>(['forged', 'tampered'])('refuses a package that is %s', async (name) => {
    const before = await appliance.unit.mainPid()
    expect(await ended(update(name))).toMatchObject({ status: 'FAILED', statusDetails: { code: 'bad-signature' } })
    expect(await installed()).toBe(agentVersion)
    expect(await appliance.unit.mainPid()).toBe(before)
  })

  it('refuses an update where there is no way back', async () => {
    const kept = appliance.container.path(`${updates}/installed.deb`)
    const bytes = await readFile(kept)
    await rm(kept)
    try {
      const { status, statusDetails } = await ended(update('good'))
      expect(status).toBe('FAILED')
      expect(statusDetails).toMatchObject({ code: 'no-way-back' })
      expect(await installed()).toBe(agentVersion)
    } finally {
      await writeFile(kept, bytes)
    }
  })

  it(
    `ends with an agent that runs, and the right status, when the power is cut (${cuts} times)`,
    async () => {
      for (let cut = 0; cut < cuts; cut += 1) {
        const artifact = randomInt(3) === 0 ? 'crashing' : 'good'
        const afterMs = randomInt(longestCutMs[artifact])
        const jobId = update(artifact)
        await delay(afterMs)
        await appliance.container.cutPower()
        await appliance.container.boot()
        const { status } = await ended(jobId)
        const version = await installed()
        console.log(`power cut ${afterMs} ms into an update to a ${artifact} version: ${status}, ${version}`)
        expect([status, version]).toEqual(
          version === versions.good ? ['SUCCEEDED', versions.good] : ['FAILED', agentVersion],
        )
        await appliance.until(isWell)
        await untilNothingIsLeft()
        await installOriginal()
        expect(await keptVersion()).toBe(agentVersion)
      }
    },
    600_000 + cuts * 120_000,
  )

  /** As a person would, from whatever version. */
  async function installOriginal(): Promise<void> {
    await appliance.container.run('dpkg', '--install', `/var/tmp/${basename(inject('packageFile'))}`)
    await appliance.until(isWell)
  }

  /** Of the package that an update would go back to. */
  async function keptVersion(): Promise<string> {
    const { stdout } = await appliance.container.run('dpkg-deb', '--field', `${updates}/installed.deb`, 'Version')
    return stdout.trim()
  }

  function update(artifact: Name): string {
    jobs += 1
    const jobId = `update-${jobs}`
    const document = { version: '1.0', operation: 'update-agent', artifact, confirmSeconds: 60 }
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document })
    return jobId
  }

  async function ended(jobId: string): Promise<{ readonly status: string; readonly statusDetails: object }> {
    const find = () => cloud.iot.jobs.describeExecution(thingName, jobId)
    const isOver = (): boolean => !['QUEUED', 'IN_PROGRESS'].includes(find().status)
    await pollUntil(`the end of ${jobId}`, isOver, 180_000).catch(async (cause: unknown) => {
      const { stdout } = await appliance.container.run('journalctl', '--no-pager', '--lines=150', '--boot')
      throw new Error(`${jobId} did not end: ${JSON.stringify(find())}\n${stdout}`, { cause })
    })
    const { status, statusDetails = {} } = find()
    return { status, statusDetails }
  }

  async function installed(): Promise<string> {
    const format = '--showformat=${Version}'
    return (await appliance.container.run('dpkg-query', '--show', format, 'panorama-agent')).stdout
  }

  async function lastUpdate(): Promise<{ readonly id?: string; readonly reason?: string } | undefined> {
    const text = await appliance.read(`${updates}/last-update.json`).catch(() => undefined)
    return text === undefined ? undefined : (JSON.parse(text) as { readonly id?: string; readonly reason?: string })
  }

  async function isAsBefore(): Promise<void> {
    expect(await installed()).toBe(agentVersion)
    await appliance.until(isWell)
    await untilNothingIsLeft()
  }

  async function untilNothingIsLeft(): Promise<void> {
    const places = `${updates}/trial.json ${updates}/program /etc/systemd/system/panorama-agent-update.service`
    await pollUntil('nothing is left of the trial', async () => {
      const { stdout } = await appliance.container.run('sh', '-c', `ls -d ${places} 2>/dev/null || true`)
      return stdout === ''
    })
  }
})

async function buildPackages(folder: string): Promise<Readonly<Record<Name, string>>> {
  const build = async (name: Name, change: (tree: string) => Promise<void>): Promise<string> => {
    await mkdir(join(folder, name))
    return await repack(inject('packageFile'), versions[name], { folder: join(folder, name), change })
  }
  const withoutRuntime = (tree: string): Promise<void> => rm(join(tree, lib, 'node'))
  return {
    good: await build('good', (tree) => changeAgent(tree, versions.good, '')),
    crashing: await build('crashing', withoutRuntime),
    silent: await build('silent', (tree) => changeAgent(tree, versions.silent, cutOff)),
    forged: await build('forged', withoutRuntime),
    tampered: await build('tampered', withoutRuntime),
  }
}

/** No connection with TLS can be made. */
const cutOff = `require('node:tls').connect = () => { throw new Error('this version is broken') };`

/** The agent's own version is that of its package. */
async function changeAgent(tree: string, version: string, prefix: string): Promise<void> {
  const file = join(tree, lib, 'native/agent.cjs')
  const text = await readFile(file, 'utf8')
  const changed = text.replaceAll(`"${agentVersion}"`, `"${version}"`)
  if (changed === text) throw new Error('the bundle does not have the version as text')
  await writeFile(file, changed.replace('"use strict";', `"use strict";${prefix}`))
}

async function publish(cloud: IotCloud, name: Name, file: string): Promise<void> {
  const deb = await readFile(file)
  const signed = signature(deb, name === 'forged' ? stranger.privateKey : vendor.privateKey)
  if (name === 'tampered') deb[deb.length - 9] = (deb.at(-9) ?? 0) ^ 1
  const { bucket } = cloud.names
  const key = `${name}/${basename(file)}`
  await cloud.s3.putObject({ bucket, key, body: deb })
  await cloud.s3.putObject({ bucket, key: `${key}.sig`, body: signed })
}

function signature(bytes: Uint8Array, key: KeyObject): Uint8Array {
  return sign(null, bytes, key)
}

/** What makers of images do. */
async function allowUpdates(image: string): Promise<void> {
  const folder = join(image, 'etc/panorama-agent')
  await mkdir(join(folder, 'allowed'), { recursive: true })
  await mkdir(join(folder, 'update-keys'), { recursive: true })
  await writeFile(join(folder, 'allowed/install-update'), `${names.join('\n')}\n`)
  const pem = vendor.publicKey.export({ type: 'spki', format: 'pem' })
  await writeFile(join(folder, 'update-keys/vendor.pem'), pem)
}
