import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { lacksIpv6 } from '../support/ipv6.ts'
import { createJobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { waitUntil } from '../support/wait-until.ts'

const leftOut = (await lacksIpv6('the agent over IPv6 alone')) || (await lacksMosquitto('the agent over IPv6 alone'))
const secretId = 'panorama/shared/dock-1'

describe.skipIf(leftOut)('over IPv6 alone', () => {
  it('does all that it has to do', async () => {
    await using site = await createJobsSite({
      cloud: { address: '::1' },
      config: ({ names }) => ({
        artifacts: [{ name: 'model', accessPoint: names.accessPointArn, prefix: 'model/', pollSeconds: 10 }],
        cameras: { refreshSeconds: 30, streams: [{ name: 'dock-1', secretId, probe: false }] },
      }),
    })
    const { cloud, appliance } = site
    cloud.secrets.createSecret(secretId, JSON.stringify({ username: 'u', password: 'p', streamUrl: 'rtsp://c/1' }))
    await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/a', body: 'content' })
    await appendFile(join(appliance.logsFolder, 'app.log'), 'one line\n')
    const agent = await site.startConnected()
    await agent.until(
      ({ artifacts: [artifact], cameras: [camera] }) => artifact?.releaseId !== undefined && camera?.state === 'ok',
    )
    site.createJob('refresh', { operation: 'refresh-cameras' })
    expect(await site.ended('refresh')).toMatchObject({ status: 'SUCCEEDED' })
    const group = `/aws/panorama/devices/${appliance.thingName}`
    const streams = (): readonly string[] => {
      const isThere = cloud.logs.groups().some(({ name }) => name === group)
      return isThere ? cloud.logs.streams(group).map(({ name }) => name) : []
    }
    await waitUntil('the line is in CloudWatch', () => streams().includes('app'))
    const installed = join(appliance.stateFolder, 'artifacts', 'model', 'current', 'a')
    expect(await readFile(installed, 'utf8')).toBe('content')
    expect([...cloud.peers()]).toEqual(['::1'])
  }, 60_000)
})
