import { randomUUID } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { installedVersion, keptVersion, lastUpdate, untilTrialIsGone } from './support/agent-updates.ts'
import { paths } from './support/appliance.ts'
import { ApplianceJobs } from './support/appliance-jobs.ts'
import { FieldSite, fieldVersions } from './support/field-site.ts'
import { pollUntil } from './support/poll-until.ts'

const why = await lacksMosquitto('the life of an appliance in the field')

/** One life, from the first boot on: each test goes on where the one before has ended. */
describe.skipIf(why)('an appliance in the field that nobody logs in to', { shuffle: false }, () => {
  const owned = new AsyncDisposableStack()
  let site: FieldSite
  let jobs: ApplianceJobs
  let thingName: string

  beforeAll(async () => {
    site = owned.use(await FieldSite.make())
    site.cloud.iot.provisioning.setTemplateEnabled(site.cloud.iot.provisioning.templateNames.claim, false)
    await site.appliance.container.boot()
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('has every unit at work at its first boot, and its claim for the agent alone', async () => {
    const { container } = site.appliance
    const units = ['panorama-agent.service', 'panorama-agent-request.path', 'panorama-agent-console.path']
    expect(await printed('systemctl', 'is-enabled', ...units)).toBe('enabled\nenabled\nenabled')
    expect(await printed('systemctl', 'is-active', ...units)).toBe('active\nactive\nactive')
    expect((await container.run('systemctl', '--failed', '--plain', '--no-legend')).stdout).toBe('')
    const claim = '/etc/panorama-agent/claim'
    const places = [claim, `${claim}/certificate.pem`, `${claim}/private.key`]
    const own = 'panorama-agent panorama-agent'
    expect(await printed('stat', '--format=%a %U %G', ...places)).toBe(`700 ${own}\n600 ${own}\n600 ${own}`)
    expect(await printed('stat', '--format=%a %U', '/var/lib/panorama-agent-serial/serial')).toBe('644 root')
    expect(await site.serial()).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
  })

  it('says on its console and in the journal that its claim is refused, and why', async () => {
    await untilOnConsole(refusal)
    await site.appliance.unit.untilLogged(/the appliance is not provisioned.*AccessDenied/)
    expect(await site.appliance.status()).toMatchObject({ provisioning: { step: 'register' } })
  })

  it('provisions itself once it may, as the thing of its serial number', async () => {
    site.cloud.iot.provisioning.setTemplateEnabled(site.cloud.iot.provisioning.templateNames.claim, true)
    await site.appliance.container.run('systemctl', 'reload', 'panorama-agent')
    const { device } = await site.atWork()
    thingName = device.thingName
    jobs = new ApplianceJobs(site.cloud, { container: site.appliance.container, thingName })
    expect(thingName).toBe(`panorama_${await site.serial()}`)
    expect(site.certificatesOf(thingName)).toMatchObject([
      { status: 'ACTIVE', certificateId: await site.certificateInUse() },
    ])
    await untilOnConsole(new RegExp(`panorama-agent: provisioned as ${thingName}`))
    expect(await site.appliance.unit.restarts()).toBe(0)
  })

  it('does its work', async () => {
    await worksFor('first weights')
  })

  it('is configured by a job', async () => {
    const patch = { cameras: { refreshSeconds: 31 } }
    expect(await jobs.done({ operation: 'configure', patch })).toMatchObject({ status: 'SUCCEEDED' })
    expect(await printed('panorama-agent', 'config', 'show', '--origin')).toMatch(/^cameras\.refreshSeconds = 31 /m)
  })

  it('gets another certificate by a job, and works without the old one', async () => {
    const before = await site.certificateInUse()
    const { status, statusDetails } = await jobs.done({ operation: 'rotate-certificate' })
    const certificateId = await site.certificateInUse()
    expect({ status, statusDetails }).toEqual({
      status: 'SUCCEEDED',
      statusDetails: { certificateId, deactivate: before },
    })
    expect(certificateId).not.toBe(before)
    site.cloud.appliances.setCertificateStatus(before, 'INACTIVE')
    await site.appliance.publish('weights.bin', 'second weights')
    await site.appliance.unit.restart()
    await site.atWork()
    await worksFor('second weights')
  })

  it('is updated by a job, confirms that by itself, and has nothing left of the trial', async () => {
    expect(await update('good')).toEqual({
      status: 'SUCCEEDED',
      statusDetails: { version: fieldVersions.good, from: agentVersion },
    })
    expect(await installedVersion(site.appliance)).toBe(fieldVersions.good)
    const ended = { outcome: 'confirmed', from: agentVersion, to: fieldVersions.good }
    expect(await lastUpdate(site.appliance)).toMatchObject(ended)
    expect(await site.appliance.unit.restarts()).toBe(0)
    await untilTrialIsGone(site.appliance)
    expect(await keptVersion(site.appliance)).toBe(fieldVersions.good)
  })

  it('goes back from an update that does not start', async () => {
    expect(await update('crashing')).toEqual({
      status: 'FAILED',
      statusDetails: {
        reason: 'it failed to start 3 times',
        version: fieldVersions.good,
        tried: fieldVersions.crashing,
      },
    })
    expect(await installedVersion(site.appliance)).toBe(fieldVersions.good)
    await site.atWork()
    await untilTrialIsGone(site.appliance)
  })

  it('has a doctor that finds nothing wrong', async () => {
    const { code, stdout } = await site.appliance.container.attempt('panorama-agent', 'doctor')
    expect(stdout).toContain(thingName)
    expect(code, stdout).toBe(0)
  })

  it('is the same thing again after a reset and a boot, by another certificate', async () => {
    const before = site.certificatesOf(thingName)
    await site.reset()
    expect(await printed('find', paths.state, '-mindepth', '1', '-type', 'f')).toBe(`${paths.state}/lock`)
    await site.appliance.container.reboot()
    const { device, configuration } = await site.atWork()
    expect(device.thingName).toBe(thingName)
    expect(configuration?.version).toBe(0)
    const [made, ...others] = site.certificatesOf(thingName).slice(before.length)
    expect(made).toMatchObject({ status: 'ACTIVE', certificateId: await site.certificateInUse() })
    expect(others).toEqual([])
    await worksFor('second weights')
  })

  async function worksFor(weights: string): Promise<void> {
    expect(await site.appliance.read(`${paths.current}/weights.bin`)).toBe(weights)
    expect(JSON.parse(await site.appliance.read(paths.camera))).toMatchObject({ password: 'first' })
    const line = `a line ${randomUUID()}`
    await site.appliance.container.run('sh', '-c', `echo '${line}' >>${paths.logs}/app.log`)
    const messages = () => arrivedMessages(site.cloud, `/aws/panorama/devices/${thingName}`, 'app')
    await pollUntil('the line arrived', () => messages().includes(line))
  }

  async function untilOnConsole(pattern: RegExp): Promise<void> {
    const { container } = site.appliance
    const isThere = (): boolean => pattern.test(container.console)
    await pollUntil(`${String(pattern)} on the console`, isThere, 20_000).catch(async (cause: unknown) => {
      const journal = await printed('journalctl', '--no-pager', '--boot', '--unit=panorama-agent*')
      throw new Error(`the console does not say ${String(pattern)}:\n${container.console}\n${journal}`, { cause })
    })
  }

  async function update(artifact: string): ReturnType<ApplianceJobs['done']> {
    return await jobs.done({ operation: 'update-agent', artifact, confirmSeconds: 60 })
  }

  async function printed(command: string, ...args: readonly string[]): Promise<string> {
    return (await site.appliance.container.run(command, ...args)).stdout.trimEnd()
  }
})

const refusal = /panorama-agent: this appliance is not provisioned: .*AccessDenied/
