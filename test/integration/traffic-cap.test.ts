import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { endOfMonthMs, monthOf } from '../../agent/network/traffic-month.ts'
import { applianceInCloud, openSession } from '../support/cloud-session.ts'
import { running } from '../support/running-worker.ts'
import { waitUntil } from '../support/wait-until.ts'

const megabyte = 1_048_576
const thingName = 'dock-1'
const secretId = 'panorama/shared/dock-1'

it('stops downloads and log uploads when the bytes of the month are used up, and loses nothing over it', async () => {
  await using appliance = await applianceInCloud({
    thingName,
    config: ({ names }) => ({
      network: { maxBytesPerMonth: 11 * megabyte },
      downloads: { maxInFlightBytes: 8 * megabyte },
      artifacts: [{ name: 'model', accessPoint: names.accessPointArn, prefix: 'model/', pollSeconds: 10 }],
      cameras: { refreshSeconds: 30, streams: [{ name: 'dock-1', secretId, probe: false }] },
    }),
  })
  const { cloud, config, files } = appliance
  const body = Buffer.alloc(24 * megabyte, 'x')
  await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/weights.bin', body })
  const secret = (password: string): string => JSON.stringify({ username: 'u', password, streamUrl: 'rtsp://c/1' })
  cloud.secrets.createSecret(secretId, secret('one'))
  await using opened = await openSession(config, { minCredentialIntervalMs: 0 })
  const { session, generation } = opened
  const [artifact] = generation.artifacts
  await using _artifact = running(artifact?.worker ?? generation.logs.worker)
  await using _logs = running(generation.logs.worker)
  await using _cameras = running(generation.cameras.worker)
  const log = join(files.logsFolder, 'app.log')
  const messages = (): readonly string[] => {
    const group = `/aws/panorama/devices/${thingName}`
    const found = cloud.logs.groups().some(({ name }) => name === group) ? cloud.logs.streams(group) : []
    return found
      .filter(({ name }) => name === 'app')
      .flatMap(() => cloud.logs.events(group, 'app').map((e) => e.message))
  }
  const gotBytes = (): number =>
    cloud.requests
      .list({ service: 's3', action: 'GetObject' })
      .reduce((sum, { responseBytes }) => sum + responseBytes, 0)
  await appendFile(log, 'before\n')
  await waitUntil('the downloads wait', () => artifact?.status().waitsUntilMs !== undefined, 30_000)
  const paused = session.network.traffic.status()
  expect(paused).toMatchObject({ state: 'paused', maxBytes: 11 * megabyte })
  expect(artifact?.status().waitsUntilMs).toBeGreaterThan(endOfMonthMs(cloud.now()) - 60_000)
  expect(paused.bytes).toBeLessThan(11 * megabyte + 9 * megabyte) // what was in flight
  expect(gotBytes()).toBeLessThan(body.length)
  for (let line = 1; line <= 20; line += 1) await appendFile(log, `while paused ${line}\n`)
  cloud.secrets.rotateSecret(secretId, secret('two'))
  await generation.cameras.worker.requestPass() // cameras go on
  const camera = await readFile(join(files.runtimeFolder, 'cameras', 'dock-1.json'), 'utf8')
  expect(camera).toContain('two')
  await waitUntil('the log waits', () => generation.logs.worker.health().state === 'failing')
  expect(messages().join()).not.toContain('while paused')

  const nextMonthMs = endOfMonthMs(cloud.now()) + 60_000
  await cloud.setTimeOffset(nextMonthMs - Date.now())
  await generation.cameras.worker.requestPass() // whose answer tells the time
  await artifact?.syncNow()
  expect(artifact?.status()).toMatchObject({ files: 1, bytes: body.length })
  expect(gotBytes()).toBe(body.length) // nothing twice
  await waitUntil('the lines of the pause are in CloudWatch', () => messages().length === 21, 30_000)
  expect(messages()).toEqual(['before', ...Array.from({ length: 20 }, (_, index) => `while paused ${index + 1}`)])
  expect(generation.logs.status()).toMatchObject({ lost: 0, gapsPending: 0 })
  expect(session.network.traffic.status()).toMatchObject({ month: monthOf(nextMonthMs), state: 'ok' })
}, 90_000)
