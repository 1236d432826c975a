import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { describe, expect, it } from 'vitest'

import { composeStatus } from '../../agent/composition/status/agent-status.ts'
import { provision } from '../../agent/commands/provision.ts'
import { monotonicMs } from '../../agent/lib/monotonic.ts'
import { endOfMonthMs, monthOf } from '../../agent/network/traffic-month.ts'
import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { UnprovisionedStatus } from '../../agent/status/status-document.ts'
import { applianceInCloud, openSession } from '../support/cloud-session.ts'
import { openCountingLink, type CountingLink } from '../support/counting-link.ts'
import { createJobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite, type ProvisioningSite } from '../support/provisioning-site.ts'
import { running } from '../support/running-worker.ts'
import { waitUntil } from '../support/wait-until.ts'

const megabyte = 1_048_576
const never = new AbortController().signal
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
  const { logs } = composeStatus({ config, session, generation, startedMs: monotonicMs() })
  const until = new Date(paused.pausedUntilMs ?? 0).toISOString()
  expect(logs).toMatchObject({ state: 'failing', nextAttemptAt: until, sources: [{ nextAttemptAt: until }] })

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

it('goes over the limit by one batch of logs at most', async () => {
  await using appliance = await applianceInCloud({
    thingName,
    config: () => ({ network: { maxBytesPerMonth: megabyte } }),
  })
  const { cloud, files } = appliance
  const config = { ...appliance.config, logs: { ...appliance.config.logs, compression: 'none' as const } }
  const lines = `${'x'.repeat(1_000)}\n`.repeat(600)
  const names = ['a', 'b', 'c', 'd']
  for (const name of names) await writeFile(join(files.logsFolder, `${name}.log`), lines)
  const used = { version: 1, month: monthOf(cloud.now()), bytes: megabyte - 50_000 }
  await mkdir(files.stateFolder)
  await writeFile(join(files.stateFolder, 'traffic.json'), JSON.stringify(used))
  // so that all streams have begun before the first has sent anything
  cloud.faults.inject({ kind: 'latency', delayMs: 3_000 }, { service: 'credentials' })
  await using opened = await openSession(config, { minCredentialIntervalMs: 0 })
  const { session, generation } = opened
  await using _logs = running(generation.logs.worker)
  const waits = (name: string): boolean =>
    generation.logs.streams().some(({ stream, state }) => stream === name && state === 'failing')
  await waitUntil('all streams wait, and nothing is on its way', () => names.every(waits), 30_000)
  expect(session.network.traffic.status()).toMatchObject({ state: 'paused' })
  expect(session.network.traffic.status().bytes).toBeLessThan(megabyte + lines.length + 100_000)
}, 60_000)

const withoutBroker = await lacksMosquitto('the limit of bytes with jobs')

it.skipIf(withoutBroker)(
  'counts job documents, and goes on with jobs and cameras at the limit',
  async () => {
    await using site = await createJobsSite({
      config: () => ({
        network: { maxBytesPerMonth: megabyte },
        cameras: { refreshSeconds: 86_400, streams: [{ name: 'dock-1', secretId, probe: false }] },
      }),
    })
    const { cloud, appliance } = site
    const secret = (password: string): string => JSON.stringify({ username: 'u', password, streamUrl: 'rtsp://c/1' })
    cloud.secrets.createSecret(secretId, secret('one'))
    const agent = await site.startConnected()
    const comment = 'x'.repeat(30_000) // no field of it, so that the job is over at once
    for (let number = 1; number <= 18; number += 1) site.createJob(`large-${number}`, { operation: 'reboot', comment })
    await agent.until(({ network }) => network?.traffic.state === 'paused')
    cloud.secrets.rotateSecret(secretId, secret('two'))
    site.createJob('last', { operation: 'refresh-cameras' })
    expect((await site.ended('last')).status).toBe('SUCCEEDED')
    expect(await readFile(join(appliance.runtimeFolder, 'cameras', 'dock-1.json'), 'utf8')).toContain('two')
  },
  60_000,
)

describe.skipIf(withoutBroker)('before there is an identity', () => {
  it('counts what a first boot sends and receives, also where its claim is refused', async () => {
    await using site = await linkedSite()
    site.cloud.appliances.setCertificateStatus(site.claimId, 'INACTIVE')
    const agent = site.start()
    await site.until('the claim is refused', (status) => isUnprovisioned(status) && isRefused(status))
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
    expect(site.carried()).toBeGreaterThan(5_000)
    expect(await countedIn(site.stateFolder)).toBeGreaterThanOrEqual(site.carried())
  }, 60_000)

  it('counts what provisioning by hand sends and receives', async () => {
    await using site = await linkedSite()
    await mkdir(site.stateFolder)
    const stdout = new PassThrough()
    const context = { signal: never, stdout, stderr: new PassThrough(), service: {}, onHangup: () => undefined }
    await provision({ configFile: site.configFile, claim: true }, context)
    expect(site.carried()).toBeGreaterThan(15_000)
    const counted = await countedIn(site.stateFolder)
    expect(counted).toBeGreaterThanOrEqual(site.carried())
    expect(counted).toBeLessThan(site.carried() + 15_000)
  })
})

function isRefused({ provisioning }: UnprovisionedStatus): boolean {
  return provisioning.lastError !== undefined
}

interface LinkedSite extends ProvisioningSite {
  /** By all connections so far. */
  readonly carried: () => number
}

/** Whose connections are counted on their way. */
async function linkedSite(): Promise<LinkedSite> {
  await using resources = new AsyncDisposableStack()
  const site = resources.use(await createProvisioningSite())
  const { endpoints } = site.cloud
  const linkTo = async (endpoint: string): Promise<CountingLink> =>
    resources.use(await openCountingLink({ toPort: Number(endpoint.split(':')[1]) }))
  const [mqtt, credentials] = [await linkTo(endpoints.mqtt), await linkTo(endpoints.credentials)]
  const config = JSON.parse(await readFile(site.configFile, 'utf8')) as object
  const linked = { ...endpoints, mqtt: `localhost:${mqtt.port}`, credentials: `localhost:${credentials.port}` }
  await writeFile(site.configFile, JSON.stringify({ ...config, endpoints: linked }))
  const owned = resources.move()
  return {
    ...site,
    carried: () =>
      [mqtt, credentials].reduce((sum, { traffic }) => sum + traffic().bytesSent + traffic().bytesReceived, 0),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function countedIn(stateFolder: string): Promise<number> {
  const { bytes } = JSON.parse(await readFile(join(stateFolder, 'traffic.json'), 'utf8')) as { readonly bytes: number }
  return bytes
}
