import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { SessionOverrides } from '../../agent/composition/session/session.ts'
import type { Cloud, CloudOptions } from '../cloud/cloud.ts'
import { readTemplate } from '../cloud/iam/cloud-policies.ts'
import { parsePolicy } from '../cloud/iam/parse-policy.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { applianceInCloud, onePass, openSession, rejectionOf } from '../support/cloud-session.ts'
import { adaptersOf } from '../support/service-calls.ts'
import { until } from '../support/wait-until.ts'
import { running } from '../support/running-worker.ts'

const never = new AbortController().signal
const account = '123456789012'
const chainedSessions = `arn:aws:sts::${account}:assumed-role/panorama-appliance-chained`
const dayMs = 86_400_000

interface ChainOptions {
  readonly thingName?: string
  /** Whether the configuration names the role to assume. Default true. */
  readonly assumes?: boolean
  readonly cloud?: CloudOptions
  readonly overrides?: SessionOverrides
}

test('gives credentials of the chained role to all three workers', async () => {
  await using chain = await openChain()
  const { cloud, files, opened } = chain
  const { artifacts, cameras, logs, logGroup } = opened.generation
  const [artifact] = artifacts
  if (artifact === undefined) throw new Error('there is no artifact worker')
  await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'app/a.txt', body: Buffer.from('a') })
  const secret = { username: 'viewer', password: 'p', streamUrl: 'rtsp://dock.example/1' }
  cloud.secrets.createSecret('panorama/shared/dock', JSON.stringify(secret))
  await appendFile(join(files.logsFolder, 'app.log'), 'one line\n')

  await onePass(artifact.worker)
  await onePass(cameras.worker)
  await using _ = running(logs.worker)
  await until(() => arrivedMessages(cloud, logGroup, 'app').length === 1)

  expect(await readFile(join(files.stateFolder, 'artifacts', 'app', 'current', 'a.txt'), 'utf8')).toBe('a')
  expect(JSON.parse(await readFile(join(files.runtimeFolder, 'cameras', 'dock.json'), 'utf8'))).toMatchObject(secret)
  for (const service of ['s3', 'secretsmanager', 'logs']) {
    const callers = cloud.requests.list({ service }).map(({ callerArn }) => callerArn)
    expect(new Set(callers)).toEqual(new Set([`${chainedSessions}/dock-1`]))
  }
  expect(cloud.requests.count({ service: 'sts', action: 'AssumeRole' })).toBe(1)
  expect(cloud.requests.count({ service: 'credentials' })).toBe(1)
})

test.each([
  ['hall:3:dock-1', 'hall-3-dock-1'],
  ['x', 'x-'],
  ['d'.repeat(128), 'd'.repeat(64)],
])('names the session of thing %s %s', async (thingName, sessionName) => {
  await using chain = await openChain({ thingName })
  await chain.adapters.artifacts.list(never)
  const [request] = chain.cloud.requests.list({ service: 's3' })
  expect(request).toMatchObject({ status: 200, callerArn: `${chainedSessions}/${sessionName}` })
})

test('leaves the base role without a right to read objects, secrets or to write logs', async () => {
  await using chain = await openChain({ assumes: false })
  const { adapters, cloud } = chain
  cloud.secrets.createSecret('panorama/shared/dock', '{}')
  const denied = { failure: 'access-denied' }
  expect(await rejectionOf(adapters.artifacts.list(never))).toMatchObject(denied)
  expect(await rejectionOf(adapters.secrets.current('panorama/shared/dock', never))).toMatchObject(denied)
  expect(await rejectionOf(adapters.logs.createGroup('/aws/panorama/devices/dock-1', never))).toMatchObject(denied)
})

test('loses the thing name on the way: shared secrets are readable, those under the own name are not', async () => {
  await using chain = await openChain()
  const { adapters, cloud } = chain
  cloud.secrets.createSecret('panorama/shared/dock', 'shared')
  cloud.secrets.createSecret('panorama/dock-1/dock', 'own')
  expect((await adapters.secrets.current('panorama/shared/dock', never)).text).toBe('shared')
  expect(await rejectionOf(adapters.secrets.current('panorama/dock-1/dock', never))).toMatchObject({
    failure: 'access-denied',
    hint: expect.stringContaining('secretsmanager:GetSecretValue on panorama/dock-1/dock') as unknown,
  })
})

test('keeps the thing name without a chain: secrets under the own name are readable, those of others are not', async () => {
  await using appliance = await applianceInCloud()
  const { cloud, config } = appliance
  await using opened = await openSession(config)
  const { secrets } = adaptersOf(opened.session, cloud.names.accessPointArn)
  cloud.secrets.createSecret('panorama/dock-1/dock', 'own')
  cloud.secrets.createSecret('panorama/dock-2/dock', 'of another')
  expect((await secrets.current('panorama/dock-1/dock', never)).text).toBe('own')
  expect(await rejectionOf(secrets.current('panorama/dock-2/dock', never))).toMatchObject({ failure: 'access-denied' })
})

test('renews both links when both have expired', async () => {
  await using chain = await openChain({ overrides: { minCredentialIntervalMs: 1 } })
  const { adapters, cloud } = chain
  await adapters.artifacts.list(never)
  cloud.sessions.expireAll()
  expect(await adapters.artifacts.list(never)).toEqual([])
  expect(cloud.requests.list({ service: 'sts' }).map(({ status }) => status)).toEqual([200, 403, 200])
  expect(cloud.requests.count({ service: 'credentials' })).toBe(2)
})

test('says which role cannot be assumed, and recovers once its trust is mended', async () => {
  await using chain = await openChain()
  const { adapters, cloud, opened } = chain
  await adapters.artifacts.list(never)
  const chained = cloud.roles.get('panorama-appliance-chained')
  if (chained === undefined) throw new Error('there is no chained role')
  cloud.roles.put({ ...chained, trustPolicy: cloud.policies.applianceRoleTrust })
  await using second = await openSession(chain.config)
  const { artifacts } = adaptersOf(second.session, cloud.names.accessPointArn)
  expect(await rejectionOf(artifacts.list(never))).toMatchObject({
    message: expect.stringContaining(
      'sts:AssumeRole on arn:aws:iam::123456789012:role/panorama-appliance-chained',
    ) as unknown,
    hint: expect.stringContaining('sts:AssumeRole') as unknown,
  })
  cloud.roles.put(chained)
  await second.session.credentials[1]?.worker.requestPass()
  expect(await artifacts.list(never)).toEqual([])
  expect(opened.base.worker.health().state).toBe('ok')
})

test('says so on the chained credentials when the base role gets none, and recovers with it', async () => {
  await using chain = await openChain({ overrides: { minCredentialIntervalMs: 1 } })
  const { cloud, config } = chain
  const down = cloud.faults.inject(
    { kind: 'error', status: 503, code: 'ServiceUnavailable' },
    { service: 'credentials' },
  )
  await using second = await openSession(config)
  const { artifacts } = adaptersOf(second.session, cloud.names.accessPointArn)
  expect(await rejectionOf(artifacts.list(never))).toMatchObject({
    message: expect.stringContaining('HTTP 503') as unknown,
    retryable: true,
  })
  down[Symbol.dispose]()
  for (const { worker } of second.session.credentials) await worker.requestPass()
  expect(await artifacts.list(never)).toEqual([])
})

test.each([365, -365])('works with a system clock that is %d days behind the cloud', async (days) => {
  const cloud = { timeOffsetMs: days * dayMs }
  await using chain = await openChain({ cloud, overrides: { releasedAtMs: Date.now() - 400 * dayMs } })
  expect(await chain.adapters.artifacts.list(never)).toEqual([])
  expect(chain.cloud.requests.list({ service: 'sts' }).map(({ status }) => status)).toEqual([200])
  const [, chained] = chain.opened.session.credentials
  const held = await chained?.get()
  expect(Math.round((held?.lifetimeMs ?? 0) / 60_000)).toBe(60)
})

/** An appliance whose alias leads to the base role, with a session. */
async function openChain({
  thingName = 'dock-1',
  assumes = true,
  cloud: options = {},
  overrides = {},
}: ChainOptions = {}) {
  await using resources = new AsyncDisposableStack()
  const { cloud, config, files } = resources.use(
    await applianceInCloud({ cloud: options, thingName, config: (cloud) => configOf(cloud, assumes) }),
  )
  const { region } = cloud
  const policy = await readTemplate('iot-device-policy', {
    Account: account,
    Region: region,
    RoleAlias: config.role.alias,
  })
  cloud.appliances.setIotPolicy(files.certificateId, parsePolicy(policy))
  await mkdir(join(config.paths.state, 'artifacts'), { recursive: true })
  const opened = resources.use(await openSession(config, overrides))
  const adapters = adaptersOf(opened.session, cloud.names.accessPointArn)
  const owned = resources.move()
  return { cloud, config, files, opened, adapters, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function configOf(cloud: Cloud, assumes: boolean) {
  const { roleAlias, roleArn } = cloud.createRoleChain()
  return {
    role: { alias: roleAlias, ...(assumes ? { assume: { roleArn } } : {}) },
    artifacts: [{ name: 'app', accessPoint: cloud.names.accessPointArn, prefix: 'app/' }],
    cameras: { streams: [{ name: 'dock', secretId: 'panorama/shared/dock', probe: false }] },
  }
}
