import { stat } from 'node:fs/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { pollUntil } from './support/poll-until.ts'
import { Appliance, isWell, paths } from './support/appliance.ts'

describe('an appliance whose image holds the package', () => {
  let appliance: Appliance | undefined

  beforeAll(async () => {
    appliance = await Appliance.working()
  })

  afterAll(async () => {
    await appliance[Symbol.asyncDispose]()
  })

  it('starts the agent at its first boot, and every other unit starts too', async () => {
    const { stdout } = await appliance.container.run('systemctl', '--failed', '--plain', '--no-legend')
    expect(stdout).toBe('')
    expect(await appliance.unit.property('ActiveState')).toBe('active')
    expect(await appliance.unit.property('NRestarts')).toBe('0')
  })

  it('installs the artifact, writes the camera file and sends the logs', async () => {
    expect(await appliance.read(`${paths.current}/weights.bin`)).toBe('first weights')
    expect(JSON.parse(await appliance.read(paths.camera))).toMatchObject({ password: 'first' })
    await appliance.write(`${paths.logs}/app.log`, 'a line of the application\n')
    await pollUntil('the line arrived', () => appliance.messages('app').includes('a line of the application'))
  })

  it('tells systemctl in one line how it is', async () => {
    await appliance.until(isWell)
    await pollUntil('all is well', async () => /^All well: /.test(await appliance.unit.property('StatusText')))
    const { stdout } = await appliance.container.run('systemctl', 'status', '--no-pager', 'panorama-agent')
    expect(stdout).toMatch(/Status: "All well: 1 artifact, 1 camera, \d+ log files?"/)
  })

  it('has the process without root, capabilities and core dumps, and the limits of the unit', async () => {
    const pid = await appliance.unit.mainPid()
    const status = await appliance.read(`/proc/${pid}/status`)
    expect(status).toMatch(/^CapEff:\t0000000000000000$/m)
    expect(status).toMatch(/^CapBnd:\t0000000000000000$/m)
    expect(status).toMatch(/^NoNewPrivs:\t1$/m)
    expect(status).not.toMatch(/^Uid:\t0\t/m)
    expect(await appliance.read(`/proc/${pid}/limits`)).toMatch(/^Max core file size +0 +0 /m)
    for (const limit of ['MemoryMax', 'TasksMax', 'WatchdogUSec'])
      expect(await appliance.unit.property(limit), limit).not.toMatch(/^(infinity|0|)$/)
  })
  it('is rated 1.5 or better by systemd-analyze security', async () => {
    const args = ['security', '--no-pager', '--threshold=15', 'panorama-agent.service']
    const { code, stdout } = await appliance.container.attempt('systemd-analyze', ...args)
    expect(stdout).toMatch(/Overall exposure level for panorama-agent.service: \d/)
    expect(code, stdout).toBe(0)
  })
  it('owns the camera file', async () => {
    const { mode } = await stat(appliance.container.path(paths.camera))
    expect(mode & 0o777).toBe(0o600)
  })
})
