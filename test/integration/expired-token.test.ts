import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { AwsService } from '../../agent/aws/aws-errors.ts'
import type { Cloud } from '../cloud/cloud.ts'
import { applianceInCloud, onePass, openSession, rejectionOf } from '../support/cloud-session.ts'
import { adaptersOf, type ServiceAdapters } from '../support/service-calls.ts'
import { until } from '../support/wait-until.ts'

const never = new AbortController().signal
const files = 60
/** Small objects that one artifact fetches at a time: what may be under way when credentials end. */
const inFlight = 32
const secretId = 'panorama/shared/dock'
const group = '/aws/panorama/devices/dock-1'

function credentialFetches(cloud: Cloud): number {
  return cloud.requests.count({ service: 'credentials' })
}

async function publish(cloud: Cloud): Promise<void> {
  for (let index = 0; index < files; index += 1) {
    await cloud.s3.putObject({
      bucket: cloud.names.bucket,
      key: `app/${index}.txt`,
      body: Buffer.from(`file ${index}\n`),
    })
  }
}

function syncing({ names }: Cloud) {
  return { artifacts: [{ name: 'app', accessPoint: names.accessPointArn, prefix: 'app/' }] }
}

test.each([
  {
    how: 'expired',
    end: (cloud: Cloud) => {
      cloud.sessions.expireAll()
    },
    refusal: 400,
  },
  {
    how: 'unknown',
    end: (cloud: Cloud) => {
      cloud.sessions.invalidateAll()
    },
    refusal: 403,
  },
])(
  'ends a pass whose credentials are $how half-way with one renewal, and fetches no object twice',
  async ({ end, refusal }) => {
    await using appliance = await applianceInCloud({ config: syncing })
    const { cloud, config } = appliance
    await publish(cloud)
    await mkdir(join(config.paths.state, 'artifacts'), { recursive: true })
    await using opened = await openSession(config, { minCredentialIntervalMs: 1 })
    const [artifact] = opened.generation.artifacts
    if (artifact === undefined) throw new Error('there is no artifact worker')
    cloud.faults.inject({ kind: 'latency', delayMs: 15 }, { service: 's3' })

    const pass = onePass(artifact.worker)
    await until(() => cloud.requests.count({ action: 'GetObject', status: 200 }) >= files / 3)
    end(cloud)
    await pass

    expect(cloud.requests.count({ action: 'GetObject', status: 200 })).toBe(files)
    expect(cloud.requests.count({ action: 'GetObject', status: refusal })).toBeGreaterThan(0)
    expect(cloud.requests.count({ action: 'GetObject', status: refusal })).toBeLessThanOrEqual(inFlight)
    expect(credentialFetches(cloud)).toBe(2)
    expect(artifact.status()).toMatchObject({ files, fetchedFiles: files })
    const last = join(config.paths.state, 'artifacts', 'app', 'current', `${files - 1}.txt`)
    expect(await readFile(last, 'utf8')).toBe(`file ${files - 1}\n`)
  },
)

interface Call {
  readonly service: AwsService
  readonly action: string
  readonly run: (adapters: ServiceAdapters) => Promise<unknown>
}

const calls: readonly Call[] = [
  { service: 's3', action: 'ListObjectsV2', run: ({ artifacts }) => artifacts.list(never) },
  { service: 'secretsmanager', action: 'GetSecretValue', run: ({ secrets }) => secrets.current(secretId, never) },
  { service: 'secretsmanager', action: 'BatchGetSecretValue', run: ({ secrets }) => secrets.batch([secretId], never) },
  { service: 'logs', action: 'CreateLogGroup', run: ({ logs }) => logs.createGroup(group, never) },
]
const refusals = [
  { status: 400, code: 'ExpiredToken' },
  { status: 400, code: 'ExpiredTokenException' },
  { status: 403, code: 'ExpiredTokenException' },
  { status: 403, code: 'InvalidClientTokenId' },
  { status: 400, code: 'UnrecognizedClientException' },
]

for (const { service, action, run } of calls) {
  for (const { status, code } of refusals) {
    test(`renews the credentials once and tries ${service} once more after ${status} ${code}`, async () => {
      await using started = await openWithSecret(1)
      const { cloud, opened, adapters } = started
      const { accessKeyId } = await opened.base.get()
      cloud.faults.inject({ kind: 'error', status, code }, { service, count: 1 })

      await run(adapters)

      expect((await opened.base.get()).accessKeyId).not.toBe(accessKeyId)
      expect(credentialFetches(cloud)).toBe(2)
      expect(cloud.requests.count({ service, action })).toBe(2)
    })
  }

  test(`recovers by itself when ${service} finds the session expired`, async () => {
    await using started = await openWithSecret(1)
    const { cloud, opened, adapters } = started
    await opened.base.get()
    cloud.sessions.expireAll()
    await run(adapters)
    expect(cloud.requests.list({ service }).map(({ status }) => status)).toEqual([400, 200])
    expect(credentialFetches(cloud)).toBe(2)
  })

  test(`asks for no more credentials when ${service} refuses even fresh ones`, async () => {
    await using started = await openWithSecret(undefined)
    const { cloud, opened, adapters } = started
    await opened.base.get()
    cloud.faults.inject({ kind: 'error', status: 400, code: 'ExpiredTokenException' }, { service })
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expect(await rejectionOf(run(adapters))).toMatchObject({ failure: 'expired-credentials', retryable: true })
    }
    expect(cloud.requests.count({ service })).toBe(10)
    expect(credentialFetches(cloud)).toBe(1)
  })
}

test('renews the credentials once for many calls of all services that find them expired together', async () => {
  await using started = await openWithSecret(1)
  const { cloud, opened, adapters } = started
  await opened.base.get()
  await adapters.logs.createGroup(group, never)
  cloud.sessions.expireAll()
  await Promise.all(
    Array.from({ length: 24 }, async (_each, index) => {
      if (index % 3 === 0) await adapters.artifacts.list(never)
      else if (index % 3 === 1) await adapters.secrets.current(secretId, never)
      else await adapters.logs.createStream({ group, stream: `stream-${index}` }, never)
    }),
  )
  expect(credentialFetches(cloud)).toBe(2)
})

test('fails with the reason when credentials expire early while the endpoint is down, and recovers after it', async () => {
  await using started = await openWithSecret(1)
  const { cloud, opened, adapters } = started
  await opened.base.get()
  cloud.sessions.expireAll()
  const down = cloud.faults.inject(
    { kind: 'error', status: 503, code: 'ServiceUnavailable' },
    { service: 'credentials' },
  )
  expect(await rejectionOf(adapters.artifacts.list(never))).toMatchObject({
    failure: 'server',
    message: expect.stringContaining('HTTP 503') as unknown,
  })
  down[Symbol.dispose]()
  await opened.base.worker.requestPass()
  expect(await adapters.artifacts.list(never)).toEqual([])
})

/** A session with credentials that may be renewed after so many milliseconds; undefined for the usual interval. */
async function openWithSecret(minCredentialIntervalMs: number | undefined) {
  await using resources = new AsyncDisposableStack()
  const { cloud, config } = resources.use(await applianceInCloud())
  cloud.secrets.createSecret(secretId, '{}')
  const overrides = minCredentialIntervalMs === undefined ? {} : { minCredentialIntervalMs }
  const opened = resources.use(await openSession(config, overrides))
  const adapters = adaptersOf(opened.session, cloud.names.accessPointArn)
  const owned = resources.move()
  return { cloud, opened, adapters, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
