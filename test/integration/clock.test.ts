import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { composeStatus } from '../../agent/composition/status/agent-status.ts'
import type { Cloud } from '../cloud/cloud.ts'
import { applianceInCloud, onePass, openSession } from '../support/cloud-session.ts'
import { running } from '../support/running-worker.ts'
import { adaptersOf } from '../support/service-calls.ts'
import { until } from '../support/wait-until.ts'

const never = new AbortController().signal
const dayMs = 86_400_000
const hourMs = 3_600_000
const longAgo = { releasedAtMs: Date.now() - 4 * 365 * dayMs }

function working({ names }: Cloud) {
  return {
    artifacts: [{ name: 'app', accessPoint: names.accessPointArn, prefix: 'app/' }],
    cameras: { streams: [{ name: 'dock', secretId: 'panorama/shared/dock', probe: false }] },
  }
}

function hours(ms: number): number {
  return Math.round(ms / hourMs) + 0 // never -0
}

describe.each([
  { clock: 'a year slow', aheadDays: 365 },
  { clock: 'a year fast', aheadDays: -365 },
])('an appliance whose clock is $clock', ({ aheadDays }) => {
  test('gets credentials, a release and camera credentials from its first minute, with every signature right', async () => {
    await using started = await start(aheadDays)
    const { cloud, config, opened } = started
    const { generation, session, base } = opened
    await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'app/a.txt', body: Buffer.from('a') })
    const secret = { username: 'viewer', password: 'p', streamUrl: 'rtsp://dock.example/1' }
    cloud.secrets.createSecret('panorama/shared/dock', JSON.stringify(secret))
    for (const { worker } of generation.artifacts) await onePass(worker)
    await onePass(generation.cameras.worker)

    expect(await readFile(join(config.paths.state, 'artifacts', 'app', 'current', 'a.txt'), 'utf8')).toBe('a')
    expect(await readFile(join(config.paths.runtime, 'cameras', 'dock.json'), 'utf8')).toContain('"viewer"')
    expect(new Set(cloud.requests.list().map(({ status }) => status))).toEqual(new Set([200]))
    expect(hours(session.clock.offsetMs())).toBe(aheadDays * 24)
    expect(Math.round((await base.get()).lifetimeMs / 60_000)).toBe(60)
  })

  test('uploads log lines with timestamps of the cloud', async () => {
    await using started = await start(aheadDays)
    const { cloud, files, opened } = started
    const { logs, logGroup } = opened.generation
    await appendFile(join(files.logsFolder, 'app.log'), 'first\nsecond\n')
    await using _ = running(logs.worker)
    await until(() => logs.status().accepted === 2)
    const events = cloud.logs.events(logGroup, 'app')
    expect(events.map(({ message }) => message)).toEqual(['first', 'second'])
    for (const { timestamp } of events) expect(hours(timestamp - cloud.now())).toBe(0)
    expect(cloud.logs.accepted().rejectedEvents).toBe(0)
  })

  test('gives lines that it read before any server told the time timestamps of the cloud all the same', async () => {
    await using started = await start(aheadDays)
    const { cloud, files, opened } = started
    const { logs, logGroup } = opened.generation
    await cloud.unreachable()
    await appendFile(join(files.logsFolder, 'app.log'), 'early\n')
    await using _ = running(logs.worker)
    await until(() => logs.status().sources.some(({ lastError }) => lastError !== undefined))
    expect(opened.session.clock.lastKnownMs()).toBeUndefined()
    await cloud.reachable()
    await opened.base.worker.requestPass()
    await until(() => logs.status().accepted === 1)
    for (const { timestamp } of cloud.logs.events(logGroup, 'app')) expect(hours(timestamp - cloud.now())).toBe(0)
    expect(logs.status().lost).toBe(0)
  })

  test('shows its offset and instants of the cloud in the status', async () => {
    await using started = await start(aheadDays)
    const { cloud, config, opened } = started
    await opened.base.get()
    const { session, generation } = opened
    const { clock, credentials } = composeStatus({ config, session, generation, startedMs: performance.now() })
    expect(clock.known).toBe(true)
    expect(Math.round(clock.offsetSeconds / 3_600)).toBe(aheadDays * 24)
    expect(hours(Date.parse(clock.now) - cloud.now())).toBe(0)
    expect(hours(Date.parse(credentials[0]?.expiresAt ?? '') - cloud.now())).toBe(1)
    expect(opened.log.messages('warn')).toEqual(['system clock differs from the cloud'])
  })

  test('writes the last time known to disk as the cloud tells it', async () => {
    await using started = await start(aheadDays)
    const { cloud, config, opened } = started
    await opened.base.get()
    const [, clockWorker] = opened.session.workers
    await clockWorker?.requestPass()
    const { lastKnownAt } = JSON.parse(await readFile(join(config.paths.state, 'clock.json'), 'utf8')) as {
      lastKnownAt: string
    }
    expect(hours(Date.parse(lastKnownAt) - cloud.now())).toBe(0)
  })
})

describe('the date of a server behind a tolerated certificate is not believed when it is', () => {
  test.each([
    { when: 'after the end of the certificate', offDays: 200 },
    { when: 'before its beginning', offDays: -10 },
  ])('$when', async ({ offDays }) => {
    await using started = await start(365)
    const { cloud, opened } = started
    const wrong = cloud.faults.inject({ kind: 'clock', offsetMs: offDays * dayMs })
    await opened.base.get()
    expect(wrong.hits).toBe(1)
    expect(opened.session.clock.offsetMs()).toBe(0)
    expect(opened.session.clock.lastKnownMs()).toBeUndefined()
    expect(opened.log.messages('warn')).toEqual(['date of a server is not believed'])

    wrong[Symbol.dispose]()
    const { artifacts } = adaptersOf(opened.session, cloud.names.accessPointArn)
    expect(await artifacts.list(never)).toEqual([])
    expect(hours(opened.session.clock.offsetMs())).toBe(365 * 24)
  })

  test('before the release of the agent', async () => {
    await using started = await start(-365, { releasedAtMs: Date.now() - 300 * dayMs })
    const { opened } = started
    await opened.base.get()
    expect(opened.session.clock.offsetMs()).toBe(0)
    expect(opened.log.messages('warn')).toEqual(['date of a server is not believed'])
  })

  test('before the last time known, also after a restart', async () => {
    await using appliance = await applianceInCloud({ cloud: { timeOffsetMs: 365 * dayMs } })
    const { cloud, config } = appliance
    {
      await using first = await openSession(config)
      await first.base.get()
      const [, clockWorker] = first.session.workers
      await clockWorker?.requestPass()
    }
    await cloud.setTimeOffset(330 * dayMs)
    await using second = await openSession(config)
    await second.base.get()
    expect(second.session.clock.offsetMs()).toBe(0)
    expect(second.log.messages('warn')).toEqual(['date of a server is not believed'])
  })
})

test('a clock.json that cannot be read does not keep credentials away', async () => {
  await using appliance = await applianceInCloud()
  const { config } = appliance
  await mkdir(config.paths.state, { recursive: true })
  await writeFile(join(config.paths.state, 'clock.json'), '{"version":1,"lastKn')
  await using opened = await openSession(config)
  expect((await opened.base.get()).lifetimeMs).toBeGreaterThan(0)
})

test.each([3, 40, 300])(
  'an appliance that the cloud moves away from by %d days follows with the next requests',
  async (days) => {
    await using started = await start(0)
    const { cloud, opened } = started
    const { artifacts, secrets, logs } = adaptersOf(opened.session, cloud.names.accessPointArn)
    cloud.secrets.createSecret('panorama/shared/dock', '{}')
    await artifacts.list(never)

    await cloud.setTimeOffset(days * dayMs)
    expect(await artifacts.list(never)).toEqual([])
    expect((await secrets.current('panorama/shared/dock', never)).text).toBe('{}')
    expect(await logs.createGroup('/aws/panorama/devices/dock-1', never)).toBe('created')
    expect(hours(opened.session.clock.offsetMs())).toBe(days * 24)
  },
)

/** An appliance in a cloud that is so many days ahead of its clock, with a session. */
async function start(aheadDays: number, overrides: { readonly releasedAtMs: number } = longAgo) {
  await using resources = new AsyncDisposableStack()
  const { cloud, config, files } = resources.use(
    await applianceInCloud({ cloud: { timeOffsetMs: aheadDays * dayMs }, config: working }),
  )
  await mkdir(join(config.paths.state, 'artifacts'), { recursive: true })
  const opened = resources.use(await openSession(config, { ...overrides, minCredentialIntervalMs: 1 }))
  const owned = resources.move()
  return { cloud, config, files, opened, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
