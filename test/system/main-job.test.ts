import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { DoctorReport } from '../../agent/doctor/doctor-check.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { runCommand } from '../support/run-command.ts'
import { Appliance, cameraConfig, isWell, paths, readerGroup } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

const groupCamera = 'dock-2'
const worstExposure = 1.5

describe('an appliance whose image holds the package', () => {
  const owned = new AsyncDisposableStack()
  let appliance: Appliance
  let hostBefore: string

  beforeAll(async () => {
    hostBefore = await hostNetwork()
    appliance = owned.use(
      await Appliance.working({
        dropIns: { journal: '[Service]\nSupplementaryGroups=systemd-journal\n' },
        config: () => ({
          logs: {
            flushSeconds: 1,
            sources: [
              { kind: 'file', path: `${paths.logs}/*.log` },
              { kind: 'applications', folder: paths.logs },
              { kind: 'journal' },
            ],
          },
          cameras: {
            refreshSeconds: 30,
            streams: [cameraConfig(), { ...cameraConfig(), name: groupCamera, group: readerGroup }],
          },
        }),
      }),
    )
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('starts the agent at its first boot, beside every other unit', async () => {
    const { stdout } = await appliance.container.run('systemctl', '--failed', '--plain', '--no-legend')
    expect(stdout).toBe('')
    expect(await appliance.unit.property('ActiveState')).toBe('active')
    expect(await appliance.unit.property('Type')).toBe('notify')
    expect(await appliance.unit.restarts()).toBe(0)
  })

  it('installs the artifact and writes the camera files, for the group that is named too', async () => {
    expect(await appliance.read(`${paths.current}/weights.bin`)).toBe('first weights')
    const groupFile = `${paths.runtime}/cameras/${groupCamera}.json`
    for (const file of [paths.camera, groupFile])
      expect(JSON.parse(await appliance.read(file))).toMatchObject({ password: 'first' })
    expect(await ownership(paths.camera)).toBe('600 panorama-agent panorama-agent')
    expect(await ownership(groupFile)).toBe(`640 panorama-agent ${readerGroup}`)
    const { code } = await appliance.container.attempt(
      'setpriv',
      '--reuid=nobody',
      `--regid=${readerGroup}`,
      '--clear-groups',
      'cat',
      groupFile,
    )
    expect(code).toBe(0)
  })

  it('sends the logs', async () => {
    await appliance.write(`${paths.logs}/app.log`, 'a line of the application\n')
    await pollUntil('the line arrived', () => appliance.messages('app').includes('a line of the application'))
  })

  it('sends those of applications to groups of their own, the journal, and metrics', async () => {
    await appliance.write(`${paths.logs}/people-counter/count.log`, 'three people\n')
    await appliance.container.run('logger', '--tag', 'dock', 'the door is open')
    const group = '/aws/panorama/devices/panorama_dock-1_Thing/applications/people-counter'
    await pollUntil('the application', () => arrivedMessages(appliance.cloud, group, 'count').includes('three people'))
    await pollUntil('the journal', () =>
      appliance.messages('syslog').some((line) => line.endsWith(': the door is open')),
    )
    const isAlive = (record: string): boolean => record.includes('"DeviceActive":1')
    await pollUntil('the metrics', () => appliance.messages('metrics').some(isAlive))
  })

  it('tells systemctl in one line how it is', async () => {
    await appliance.until(isWell)
    await pollUntil('all is well', async () => (await appliance.unit.property('StatusText')).startsWith('All well: '))
    const { stdout } = await appliance.container.run('systemctl', 'status', '--no-pager', 'panorama-agent')
    expect(stdout).toMatch(/Status: "All well: 1 artifact, 2 cameras, \d+ log files?"/)
  })

  it('has a doctor that finds it well, as root and, but for what it may not look at, as another user', async () => {
    const { stdout } = await appliance.container.attempt('panorama-agent', 'doctor', '--json')
    const { findings } = JSON.parse(stdout) as DoctorReport
    const failed = findings.filter(({ level }) => level === 'fail').map(({ id }) => id)
    expect(failed).toEqual(['camera.dock-1', `camera.${groupCamera}`]) // there are none behind these names
    const passed = findings.filter(({ level }) => level === 'pass').map(({ id }) => id)
    const units = ['service', 'service.requests', 'journal.reading', 'journal.group', `groups.${readerGroup}`]
    expect(passed).toEqual(expect.arrayContaining([...units, 'agent', 'identity', 'permission.logs.put', 'disk.write']))
    const asNobody = ['--reuid=nobody', '--regid=nogroup', '--clear-groups', 'panorama-agent', 'doctor', '--json']
    const { stdout: seen } = await appliance.container.attempt('setpriv', ...asNobody)
    expect((JSON.parse(seen) as DoctorReport).findings.filter(({ level }) => level === 'fail')).toEqual([])
    const { container } = appliance
    await container.attempt('chmod', '0600', paths.config)
    const { stdout: ofRootAlone } = await container.attempt('panorama-agent', 'doctor', '--json')
    await container.attempt('chmod', '0644', paths.config)
    expect((JSON.parse(ofRootAlone) as DoctorReport).findings).toContainEqual(
      expect.objectContaining({ id: 'files.configuration', level: 'fail' }),
    )
  })

  it('runs without root, capabilities, core dumps and an open port, also when it is sent SIGUSR1', async () => {
    const pid = await appliance.unit.mainPid()
    await appliance.unit.send('SIGUSR1')
    const status = await appliance.read(`/proc/${pid}/status`)
    expect(status).toMatch(/^CapEff:\t0{16}$/m)
    expect(status).toMatch(/^CapBnd:\t0{16}$/m)
    expect(status).toMatch(/^NoNewPrivs:\t1$/m)
    expect(status).toMatch(/^Seccomp:\t2$/m)
    expect(status).not.toMatch(/^Uid:\t0\t/m)
    expect(await appliance.read(`/proc/${pid}/limits`)).toMatch(/^Max core file size +0 +0 /m)
    await appliance.status() // whatever the signal did is done once it answers
    const { stdout } = await appliance.container.run('ss', '--no-header', '--listening', '--tcp', '--processes')
    expect(stdout).not.toContain(`pid=${pid},`)
    expect(await appliance.unit.mainPid()).toBe(pid)
  })

  it('is limited in memory, tasks and silence', async () => {
    for (const limit of ['MemoryMax', 'TasksMax', 'WatchdogUSec'])
      expect(await appliance.unit.property(limit), limit).not.toMatch(/^(infinity|0|)$/)
  })

  it(`is exposed ${worstExposure} at most, as systemd-analyze security counts`, async () => {
    const { stdout } = await appliance.container.run(
      'systemd-analyze',
      'security',
      '--no-pager',
      'panorama-agent.service',
    )
    const [, exposure] = /Overall exposure level for panorama-agent.service: ([\d.]+)/.exec(stdout) ?? []
    expect(Number(exposure), stdout).toBeLessThanOrEqual(worstExposure)
  })

  it('takes up a changed configuration at a reload, in the same process', async () => {
    const pid = await appliance.unit.mainPid()
    await appliance.configure({ cameras: { refreshSeconds: 30, streams: [{ ...cameraConfig(), name: 'dock-9' }] } })
    await appliance.container.run('systemctl', 'reload', 'panorama-agent')
    await appliance.until((status) => isWell(status) && status.cameras.some(({ name }) => name === 'dock-9'))
    expect(await appliance.unit.mainPid()).toBe(pid)
    await appliance.configure({})
    await appliance.container.run('systemctl', 'reload', 'panorama-agent')
    await appliance.until((status) => isWell(status) && status.cameras.length === 2)
  })

  it('fails the reload of a faulty configuration by name, and goes on with the one that it has', async () => {
    const pid = await appliance.unit.mainPid()
    await appliance.configure({ role: { alias: 'no spaces here' } })
    const { code } = await appliance.container.attempt('systemctl', 'reload', 'panorama-agent')
    expect(code).not.toBe(0)
    await appliance.unit.untilLogged(/role\.alias: /)
    expect(await appliance.unit.mainPid()).toBe(pid)
    expect(await appliance.unit.property('ActiveState')).toBe('active')
    await appliance.configure({})
    await appliance.ask('sync')
    await appliance.until(isWell)
  })

  it('leaves the network of the host as it was, and listens on none of its ports', async () => {
    expect(await hostNetwork()).toBe(hostBefore)
    const { stdout } = await runCommand('ss', ['--no-header', '--listening', '--tcp', '--udp', '--processes'])
    for (const pid of await appliance.container.processes()) expect(stdout).not.toContain(`pid=${pid},`)
  })

  async function ownership(path: string): Promise<string> {
    const { stdout } = await appliance.container.run('stat', '--format=%a %U %G', path)
    return stdout.trim()
  }
})

/** Interfaces, addresses and routes. */
async function hostNetwork(): Promise<string> {
  const tables = await Promise.all(
    [['address'], ['route'], ['-6', 'route'], ['rule']].map((args) => runCommand('ip', ['-details', ...args])),
  )
  return tables.map(({ stdout }) => stdout.replace(/valid_lft \w+ preferred_lft \w+|expires \w+/g, '')).join('\n')
}
