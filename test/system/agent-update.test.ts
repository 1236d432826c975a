import { readFile, rm, writeFile } from 'node:fs/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { lacksMosquitto, leavesOutJobFaults } from '../support/mosquitto.ts'
import { tempFolder } from '../support/temp-folder.ts'
import {
  allowUpdates,
  installedVersion,
  lastUpdate,
  makeSigner,
  otherVersion,
  publishUpdate,
  trustSigner,
  untilTrialIsGone,
  updateArtifacts,
  updatesFolder,
} from './support/agent-updates.ts'
import { Appliance, isWell, thingName } from './support/appliance.ts'
import { ApplianceJobs, type EndedJob } from './support/appliance-jobs.ts'
import { pollUntil } from './support/poll-until.ts'
import { askRoot, placeRequest } from './support/root-request.ts'

/** No connection with TLS can be made. */
const prefix = `import brokenTls from 'node:tls'; import { syncBuiltinESMExports as breakTls } from 'node:module';
brokenTls.connect = () => { throw new Error('this version is broken') }; breakTls();`
const version = '8.2.0~rc.1'
/** The same package, well signed, by another key, and changed by a byte afterwards. */
const artifacts = ['silent', 'forged', 'tampered']

const cutsLeftOut = await leavesOutJobFaults('an update whose request handler is killed')

/** What works, and what does not start, is in field-life.test.ts. */
describe.skipIf(await lacksMosquitto('updates of the agent'))('an update of the agent', () => {
  const owned = new AsyncDisposableStack()
  let appliance: Appliance
  let jobs: ApplianceJobs

  beforeAll(async () => {
    const cloud = owned.use(await startIotCloud())
    const vendor = makeSigner()
    await publish(cloud, vendor.sign)
    const prepare = async (image: string): Promise<void> => {
      await allowUpdates(image, artifacts)
      await trustSigner(image, vendor)
    }
    const config = () => ({ artifacts: updateArtifacts(cloud, artifacts) })
    appliance = owned.use(await Appliance.working({ cloud, config, prepare }))
    jobs = new ApplianceJobs(cloud, { container: appliance.container, thingName })
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('goes back from a version that has not confirmed itself in time', async () => {
    const id = `silent${Date.now()}`
    expect(await askRoot(appliance, { verb: 'install-update', argument: `silent:10:${id}` })).toMatchObject({
      result: 'done',
    })
    const { update: begun } = await appliance.until(({ update }) => update?.trial?.until !== undefined)
    expect(begun?.trial).toMatchObject({ from: agentVersion, to: version, phase: 'watching' })
    await pollUntil('the update ended', async () => (await lastUpdate(appliance)).id === id)
    const ended = { outcome: 'rolled-back', from: agentVersion, to: version }
    expect(await lastUpdate(appliance)).toMatchObject(ended)
    expect((await lastUpdate(appliance)).reason).toMatch(/^not confirmed within 10 s/)
    await appliance.until(isWell)
    await untilTrialIsGone(appliance)
    expect(await installedVersion(appliance)).toBe(agentVersion)
    const { update: over } = await appliance.until(({ update }) => update?.last !== undefined && !('trial' in update))
    expect(over?.last).toMatchObject(ended)
  })

  it.skipIf(cutsLeftOut)('goes on with one whose request handler was killed before it began', async () => {
    const { container } = appliance
    const own = container.path('/usr/sbin/systemctl') // comes before the real one
    const isStart = '[ "$1" = start ] && [ "$2" = panorama-agent-update.service ]'
    const killing = `if ${isStart}; then rm /usr/sbin/systemctl; kill -9 $PPID; exit 1; fi; exec /usr/bin/systemctl "$@"`
    await writeFile(own, `#!/bin/sh\n${killing}\n`, { mode: 0o755 })
    const id = `cutoff${Date.now()}`
    await placeRequest(appliance, JSON.stringify({ verb: 'install-update', argument: `silent:10:${id}` }))
    await pollUntil('the update ended', async () => (await lastUpdate(appliance)).id === id, 120_000)
    expect(await lastUpdate(appliance)).toMatchObject({ outcome: 'rolled-back', from: agentVersion, to: version })
    await appliance.until(isWell)
    await untilTrialIsGone(appliance)
    const { stdout } = await container.run('journalctl', '--no-pager', '--unit=panorama-agent-request.service')
    expect(stdout).toContain('an update that was cut off before it began goes on')
    expect(await installedVersion(appliance)).toBe(agentVersion)
  })

  it.each(['forged', 'tampered'])('refuses a package that is %s', async (artifact) => {
    const before = await appliance.unit.mainPid()
    expect(await update(artifact)).toMatchObject({ status: 'FAILED', statusDetails: { code: 'bad-signature' } })
    expect(await installedVersion(appliance)).toBe(agentVersion)
    expect(await appliance.unit.mainPid()).toBe(before)
  })

  it('refuses an update where there is no way back', async () => {
    const kept = appliance.container.path(`${updatesFolder}/installed.deb`)
    const bytes = await readFile(kept)
    await rm(kept)
    try {
      expect(await update('silent')).toMatchObject({ status: 'FAILED', statusDetails: { code: 'no-way-back' } })
      expect(await installedVersion(appliance)).toBe(agentVersion)
    } finally {
      await writeFile(kept, bytes)
    }
  })

  async function update(artifact: string): Promise<EndedJob> {
    return await jobs.done({ operation: 'update-agent', artifact, confirmSeconds: 60 })
  }
})

async function publish(cloud: IotCloud, sign: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await using folder = await tempFolder()
  const file = await otherVersion(version, { folder: folder.path, prefix })
  const bytes = await readFile(file)
  const signature = sign(bytes)
  await publishUpdate(cloud, 'silent', { file, bytes, signature })
  await publishUpdate(cloud, 'forged', { file, bytes, signature: makeSigner().sign(bytes) })
  const tampered = Buffer.from(bytes)
  tampered[tampered.length - 9] = (tampered.at(-9) ?? 0) ^ 1
  await publishUpdate(cloud, 'tampered', { file, bytes: tampered, signature })
}
