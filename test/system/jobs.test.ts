import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { Appliance, isWell, paths } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

const thingName = 'panorama_dock-1_Thing'
const application = 'app.service'
const open: readonly string[] = ['QUEUED', 'IN_PROGRESS']

/** An application that the image lets jobs restart. */
async function withApplication(image: string): Promise<void> {
  const units = join(image, 'etc/systemd/system')
  await writeFile(join(units, application), '[Service]\nExecStart=/bin/sleep infinity\n')
  await mkdir(join(units, 'multi-user.target.wants'), { recursive: true })
  await symlink(`../${application}`, join(units, 'multi-user.target.wants', application))
  await mkdir(join(image, 'etc/panorama-agent/allowed'), { recursive: true })
  await writeFile(join(image, 'etc/panorama-agent/allowed/restart-unit'), `${application}\n`)
}

function isReachable(status: StatusDocument): boolean {
  return isWell(status) && status.connection?.state === 'connected' && status.jobs?.current === undefined
}

describe.skipIf(await lacksMosquitto('jobs of an appliance'))('jobs of an appliance', () => {
  const owned = new AsyncDisposableStack()
  let cloud: IotCloud
  let appliance: Appliance

  beforeAll(async () => {
    cloud = owned.use(await startIotCloud())
    const config = () => ({ artifacts: [], cameras: {} })
    appliance = owned.use(await Appliance.make({ cloud, config, prepare: withApplication }))
    await appliance.container.boot()
    await appliance.until(isReachable)
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('configure it, over a base file that stays as it was', async () => {
    const base = await appliance.read(paths.config)
    createJob('configure', { operation: 'configure', patch: { logs: { flushSeconds: 7 } } })
    const { status, statusDetails } = await ended('configure')
    expect(status).toBe('SUCCEEDED')
    const { configuration } = await appliance.until(isReachable)
    expect(configuration).toMatchObject({ state: 'accepted', job: { jobId: 'configure' } })
    expect(statusDetails).toEqual({ version: String(configuration?.version) })
    const { stdout } = await appliance.container.run('panorama-agent', 'config', 'show', '--origin')
    expect(stdout).toMatch(/^logs\.flushSeconds = 7 +# configuration version \d+, job configure$/m)
    expect(await appliance.read(paths.config)).toBe(base)
    expect(await statOf(`${paths.state}/config/${configuration?.version}.json`)).toBe('600 panorama-agent')
  })

  it('are reported as failed where they would have cut it off, and the next one is done', async () => {
    const { configuration: before } = await appliance.status()
    const patch = { endpoints: { mqtt: '127.0.0.1:1' } } // of a name, the CRT remembers which addresses took no connection
    createJob('cut-off', { operation: 'configure', patch, confirmSeconds: 30 })
    await appliance.until(({ configuration }) => configuration?.state === 'trial')
    createJob('after-it', { operation: 'configure', patch, dryRun: true })
    const { status, statusDetails } = await ended('cut-off')
    expect(status).toBe('FAILED')
    expect(statusDetails['reason']).toContain('not confirmed within 30 s')
    expect((await ended('after-it')).status).toBe('SUCCEEDED')
    const { configuration } = await appliance.until(isReachable)
    expect(configuration?.version).toBe(before?.version)
  })

  it('restart an application that the image allows, and no other', async () => {
    const pid = await show(application, 'MainPID')
    createJob('restart-app', { operation: 'restart-application', unit: application })
    expect(await ended('restart-app')).toEqual({ status: 'SUCCEEDED', statusDetails: { unit: application } })
    expect(await show(application, 'MainPID')).not.toBe(pid)
    expect(await show(application, 'ActiveState')).toBe('active')
    createJob('restart-other', { operation: 'restart-application', unit: 'dbus.service' })
    const { status, statusDetails } = await ended('restart-other')
    expect(status).toBe('FAILED')
    expect(statusDetails['reason']).toContain('allowed')
  })

  it('restart the agent, and are reported by the one that came up', async () => {
    const pid = await appliance.unit.mainPid()
    createJob('restart-agent', { operation: 'restart-agent' })
    expect(await ended('restart-agent')).toEqual({ status: 'SUCCEEDED', statusDetails: {} })
    expect(await appliance.unit.mainPid()).not.toBe(pid)
    await appliance.until(isReachable)
  })

  it('reboot it, and are reported after the boot', async () => {
    const { leader } = appliance.container
    const bootId = await bootIdOf()
    createJob('reboot', { operation: 'reboot' })
    await appliance.container.rebooted(leader)
    expect(await ended('reboot')).toEqual({ status: 'SUCCEEDED', statusDetails: {} })
    expect(await bootIdOf()).not.toBe(bootId)
    await appliance.until(isReachable)
  })

  it('send diagnostics to a log stream of their own', async () => {
    createJob('diagnose', { operation: 'collect-diagnostics', logLines: 100 })
    const { status, statusDetails } = await ended('diagnose')
    expect(status).toBe('SUCCEEDED')
    expect(statusDetails).toMatchObject({ stream: 'diagnostics/diagnose' })
    const messages = appliance.messages('diagnostics/diagnose')
    expect(messages).toHaveLength(Number(statusDetails['events']))
    expect(messages.some((text) => text.includes('job received'))).toBe(true)
  })

  function createJob(jobId: string, document: object): void {
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document: { version: '1.0', ...document } })
  }

  async function ended(jobId: string): Promise<{ status: string; statusDetails: Readonly<Record<string, string>> }> {
    const find = () => cloud.iot.jobs.describeExecution(thingName, jobId)
    await pollUntil(`the end of ${jobId}`, () => !open.includes(find().status)).catch(async (cause: unknown) => {
      throw new Error(`${jobId} is ${find().status}\n${await appliance.unit.journal()}`, { cause })
    })
    const { status, statusDetails = {} } = find()
    return { status, statusDetails }
  }

  async function show(unit: string, property: string): Promise<string> {
    const { stdout } = await appliance.container.run('systemctl', 'show', '--value', '--property', property, unit)
    return stdout.trim()
  }

  async function statOf(path: string): Promise<string> {
    const { stdout } = await appliance.container.run('stat', '--format=%a %U', path)
    return stdout.trim()
  }

  async function bootIdOf(): Promise<string> {
    const { stdout } = await appliance.container.run('cat', '/proc/sys/kernel/random/boot_id')
    return stdout.trim()
  }
})
