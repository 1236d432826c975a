import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { Appliance, isWell, paths, readerGroup } from './support/appliance.ts'

const name = 'people-counter'
const folder = `${paths.runtime}/applications/${name}`
/** Asks as SDKs do, and fails where it gets no credentials. */
const program = `
const { AWS_CONTAINER_CREDENTIALS_FULL_URI: uri, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file, AWS_REGION } = process.env
const token = require('node:fs').readFileSync(file, 'utf8')
if (token !== process.env.AWS_CONTAINER_AUTHORIZATION_TOKEN || AWS_REGION === undefined) process.exit(2)
require('node:http').get(uri, { headers: { authorization: token } }, (answer) => {
  process.exit(answer.statusCode === 200 ? 0 : 1)
})
`
const service = `[Unit]
Wants=panorama-agent.service
After=panorama-agent.service

[Service]
Type=oneshot
User=nobody
EnvironmentFile=${folder}/aws.env
SupplementaryGroups=${readerGroup}
ExecStart=/usr/lib/panorama-agent/node /opt/${name}.cjs

[Install]
WantedBy=multi-user.target
`

describe('an application on an appliance', () => {
  const owned = new AsyncDisposableStack()
  let appliance: Appliance
  let port: number

  beforeAll(async () => {
    port = await freePort()
    const applications = [{ name, roleAlias: name, group: readerGroup }]
    appliance = owned.use(
      await Appliance.make({
        config: () => ({ artifacts: [], cameras: {}, applications, applicationCredentials: { port } }),
      }),
    )
    await appliance.cloud.createApplication({ name, certificateId: appliance.certificateId })
    await appliance.write(`/opt/${name}.cjs`, program)
    await appliance.write(`/etc/systemd/system/${name}.service`, service)
    await appliance.container.boot()
    await appliance.until((status) => isWell(status) && status.applications.every(({ state }) => state === 'ok'))
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('finds its files, which its group alone may read', async () => {
    expect(await ownership(folder)).toBe(`750 panorama-agent ${readerGroup}`)
    for (const file of ['token', 'aws.env']) {
      expect(await ownership(`${folder}/${file}`)).toBe(`640 panorama-agent ${readerGroup}`)
    }
    for (const { group, code } of [
      { group: readerGroup, code: 0 },
      { group: 'nogroup', code: 1 },
    ]) {
      const asNobody = ['--reuid=nobody', `--regid=${group}`, '--clear-groups', 'cat', `${folder}/token`]
      expect((await appliance.container.attempt('setpriv', ...asNobody)).code, group).toBe(code)
    }
  })

  it('gets credentials as a service of another user, and again after a restart of the agent', async () => {
    const before = await appliance.read(`${folder}/token`)
    await appliance.container.run('systemctl', 'start', name)
    await appliance.container.run('systemctl', 'restart', 'panorama-agent')
    expect(await appliance.read(`${folder}/token`)).toBe(before)
    await appliance.until(({ applications }) => applications[0]?.expiresAt !== undefined)
    await appliance.container.run('systemctl', 'start', name)
    expect((await appliance.status()).applications[0]?.served).toBe(1)
  })

  it('is served on the loopback interface alone', async () => {
    const pid = await appliance.unit.mainPid()
    const { stdout } = await appliance.container.run('ss', '--no-header', '--listening', '--tcp', '-n', '--processes')
    const own = stdout.split('\n').filter((line) => line.includes(`pid=${pid},`))
    expect(own.map((line) => line.trim().split(/\s+/)[3])).toEqual([`127.0.0.1:${port}`])
  })

  async function ownership(path: string): Promise<string> {
    const { stdout } = await appliance.container.run('stat', '--format=%a %U %G', path)
    return stdout.trim()
  }
})
