import { createHash } from 'node:crypto'

import { expect, test } from 'vitest'

import type { Cloud } from '../cloud/cloud.ts'
import type { Fault } from '../cloud/faults.ts'
import { LocalAppliance } from '../support/local-agent.ts'

const kmsKeyArn = 'arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const deniedHint = /access point policy.*bucket policy.*kms:Decrypt/

test('installs what is below the prefix, and nothing else, as the first release', async () => {
  await using appliance = await open()
  await appliance.put('app/model/weights.bin', 'weights')
  await appliance.put('app/labels.json', '[]')
  await appliance.put('application/other', 'not ours')
  await using agent = await appliance.start()

  await agent.sync()

  expect(await appliance.installed('app')).toEqual({ 'labels.json': '[]', 'model/weights.bin': 'weights' })
  const { artifacts } = await agent.status()
  expect(artifacts).toMatchObject([{ name: 'app', state: 'ok', files: 2, bytes: 9, fetchedFiles: 2 }])
})

test('follows an object that changes, one that comes and one that goes, and fetches nothing else', async () => {
  await using appliance = await open()
  for (const name of ['changes', 'goes', 'stays']) await appliance.put(`app/${name}`, `first ${name}`)
  await using agent = await appliance.start()
  await agent.sync()

  await appliance.put('app/changes', 'second')
  await appliance.put('app/comes', 'new')
  await appliance.cloud.s3.deleteObject({ bucket: appliance.cloud.names.bucket, key: 'app/goes' })
  appliance.cloud.requests.clear()
  await agent.sync()

  expect(await appliance.installed('app')).toEqual({ changes: 'second', comes: 'new', stays: 'first stays' })
  expect(gets(appliance.cloud)).toBe(2)
})

test('lists over several pages', async () => {
  await using appliance = await open()
  appliance.cloud.s3.setPageSize(3)
  for (let index = 0; index < 10; index += 1) await appliance.put(`app/${index}`, String(index))
  await using agent = await appliance.start()

  await agent.sync()

  expect(Object.keys((await appliance.installed('app')) ?? {})).toHaveLength(10)
})

test.each([
  { what: 'leaves the folder', key: 'app/../escape' },
  { what: 'has an empty segment', key: 'app/a//b' },
  { what: 'has a segment of one dot', key: 'app/./b' },
  { what: 'is longer than a file name may be', key: `app/${'x'.repeat(256)}` },
  { what: 'needs a folder where a file is', key: 'app/same/below' },
])('refuses a key that $what, and keeps the release before it', async ({ key }) => {
  await using appliance = await open()
  await appliance.put('app/same', 'good')
  await using agent = await appliance.start()
  await agent.sync()

  await appliance.put(key, 'hostile')

  await expect(agent.sync()).rejects.toThrow(/cannot be a file of a release.*hint: rename or remove/)
  expect(await appliance.installed('app')).toEqual({ same: 'good' })
  await appliance.cloud.s3.deleteObject({ bucket: appliance.cloud.names.bucket, key })
  await agent.sync()
  expect((await agent.status()).artifacts).toMatchObject([{ state: 'ok', files: 1 }])
})

test.each([
  { cause: 'access point policy', take: denyAtAccessPoint },
  { cause: 'bucket policy', take: withoutDelegation },
  { cause: 'kms:Decrypt', take: encryptWithForeignKey },
])('names access point policy, bucket policy and kms:Decrypt, in this order, when the $cause refuses', async (one) => {
  await using appliance = await open()
  await appliance.put('app/model', 'one')
  await using agent = await appliance.start()
  await agent.sync()

  await one.take(appliance)
  await appliance.put('app/later', 'two')

  await expect(agent.sync()).rejects.toThrow(deniedHint)
  await expect(agent.sync()).rejects.toThrow(/AccessDenied/)
  expect(await appliance.installed('app')).toEqual({ model: 'one' })
})

test('says which access point does not exist', async () => {
  await using appliance = await open((cloud) => `${cloud.names.accessPointArn}-missing`)
  await using agent = await appliance.start()

  await expect(agent.sync()).rejects.toThrow(/NoSuchAccessPoint.*hint: check that .*-missing exists/)
  expect((await agent.status()).artifacts).toMatchObject([{ state: 'failing' }])
})

test('says that an access point of another region answers with a redirect', async () => {
  const name = 'panorama-far'
  await using appliance = await open((cloud) => {
    return cloud.s3.createAccessPoint({ name, bucket: cloud.names.bucket, region: 'eu-west-1' }).arn
  })
  await using agent = await appliance.start()

  await expect(agent.sync()).rejects.toThrow(/PermanentRedirect|IllegalLocationConstraint|eu-west-1|region/)
  expect(await appliance.installed('app')).toBeUndefined()
})

test.each([
  { what: 'SlowDown', action: 'ListObjectsV2' },
  { what: 'SlowDown', action: 'GetObject' },
])('comes through when $action is told $what for a while', async ({ what, action }) => {
  await using appliance = await open()
  await appliance.put('app/model', 'one')
  using slow = appliance.cloud.faults.inject(
    { kind: 'error', status: 503, code: what },
    { service: 's3', action, count: 2 },
  )
  await using _agent = await appliance.start()

  await expect.poll(() => appliance.installed('app'), within(10)).toEqual({ model: 'one' })
  expect(slow.hits).toBe(2)
})

test('takes a list that is an error under status 200 for a failure, not for an empty bucket', async () => {
  await using appliance = await open()
  await appliance.put('app/model', 'one')
  await using agent = await appliance.start()
  await agent.sync()

  appliance.cloud.s3.failListsWithStatus200('InternalError', 100)

  await expect(agent.sync()).rejects.toThrow(/InternalError|not a whole one/)
  expect(await appliance.installed('app')).toEqual({ model: 'one' })
  appliance.cloud.s3.failListsWithStatus200('InternalError', 0)
  await agent.sync()
})

const broken: readonly { readonly fault: Fault; readonly times: number }[] = [
  { fault: { kind: 'cut', afterBytes: 100_000 }, times: 2 },
  { fault: { kind: 'cut', afterBytes: 0 }, times: 2 },
  { fault: { kind: 'reset' }, times: 4 },
]
test.each(broken)(
  'gets over $fault in the same pass, and shows nothing until all is there',
  async ({ fault, times }) => {
    await using appliance = await open()
    await appliance.put('app/weights', 'old')
    await using agent = await appliance.start()
    await agent.sync()
    const weights = Array.from({ length: 60_000 }, (_, index) => index).join('')
    await appliance.put('app/weights', weights)

    using active = appliance.cloud.faults.inject(fault, { service: 's3', action: 'GetObject', count: times })
    await agent.sync()
    expect(await appliance.installed('app')).toEqual({ weights })
    expect(active.hits).toBe(times)
  },
)

test('stops in the middle of a body that has fallen silent, and fetches it after a restart', async () => {
  await using appliance = await open()
  const weights = 'w'.repeat(300_000)
  await appliance.put('app/weights', weights)
  {
    using stalled = appliance.cloud.faults.inject(
      { kind: 'stall', afterBytes: 100_000 },
      { service: 's3', action: 'GetObject' },
    )
    await using agent = await appliance.start()
    await expect.poll(() => stalled.hits, within(10)).toBe(1)
    await expect.poll(async () => (await agent.status()).artifacts[0]?.fetchedBytes, within(10)).toBeGreaterThan(0)
    await agent.stop()
  }
  expect(await appliance.installed('app')).toBeUndefined()
  await using _agent = await appliance.start()
  await expect.poll(() => appliance.installed('app'), within(10)).toEqual({ weights })
})

test('installs one version, never a mixture, when an object is replaced in mid-download', async () => {
  await using appliance = await open()
  const [one, two] = ['1'.repeat(300_000), '2'.repeat(300_000)]
  await appliance.put('app/weights', one)
  using stalled = appliance.cloud.faults.inject(
    { kind: 'stall', afterBytes: 100_000 },
    { service: 's3', action: 'GetObject', count: 1 },
  )
  using slow = appliance.cloud.faults.inject(
    { kind: 'latency', delayMs: 50 },
    { service: 's3', action: 'ListObjectsV2' },
  )
  await using agent = await appliance.start()
  await expect.poll(() => stalled.hits, within(10)).toBe(1)
  await expect.poll(async () => (await agent.status()).artifacts[0]?.fetchedBytes, within(10)).toBeGreaterThan(0)

  await appliance.put('app/weights', two)
  await appliance.cloud.unreachable()
  await appliance.cloud.reachable()

  await expect.poll(() => appliance.installed('app'), within(20)).toEqual({ weights: two })
  expect(slow.hits).toBeGreaterThan(1)
})

test('fetches nothing twice over restarts', async () => {
  await using appliance = await open()
  const names = Array.from({ length: 12 }, (_, index) => `file-${index}`)
  for (const name of names) await appliance.put(`app/${name}`, name)
  for (const run of [1, 2, 3]) {
    await using agent = await appliance.start()
    await agent.sync()
    expect(gets(appliance.cloud), `after run ${run}`).toBe(names.length)
  }
})

test('keeps what it fetched before a pass that failed, over a restart', async () => {
  await using appliance = await open()
  const names = Array.from({ length: 12 }, (_, index) => `file-${String(index).padStart(2, '0')}`)
  for (const name of names) await appliance.put(`app/${name}`, name)
  await encryptWithForeignKey(appliance) // "encrypted" is the first to be fetched, and stops the others
  await appliance.put('app/a-first', 'before it')
  {
    await using agent = await appliance.start()
    await expect(agent.sync()).rejects.toThrow(/AccessDenied/)
  }
  const fetched = appliance.cloud.requests.count({ service: 's3', action: 'GetObject', status: 200 })
  expect(fetched).toBeGreaterThan(0)
  await appliance.put('app/encrypted', 'readable now')

  await using agent = await appliance.start()
  await agent.sync()

  expect(Object.keys((await appliance.installed('app')) ?? {})).toHaveLength(14)
  expect(appliance.cloud.requests.count({ service: 's3', action: 'GetObject', status: 200 })).toBe(14)
})

test('follows a versioned bucket through a delete marker and back', async () => {
  await using appliance = await open()
  const { s3, names, policies } = appliance.cloud
  s3.createBucket(names.bucket, { versioned: true, policy: policies.bucketPolicy })
  await appliance.put('app/labels', 'kept')
  await appliance.put('app/model', 'one')
  await appliance.put('app/model', 'two')
  await using agent = await appliance.start()
  await agent.sync()
  expect(await appliance.installed('app')).toEqual({ labels: 'kept', model: 'two' })

  await s3.deleteObject({ bucket: names.bucket, key: 'app/model' })
  await agent.sync()
  expect(await appliance.installed('app')).toEqual({ labels: 'kept' })

  await appliance.put('app/model', 'one')
  await agent.sync()
  expect(await appliance.installed('app')).toEqual({ labels: 'kept', model: 'one' })
})

test.each([1, 3])('installs an object that was uploaded in %i parts, whose etag is no checksum', async (parts) => {
  await using appliance = await open()
  const body = 'abcdefghij'.repeat(10_000)
  await appliance.cloud.s3.putObject({
    bucket: appliance.cloud.names.bucket,
    key: 'app/model',
    body,
    multipartParts: parts,
  })
  await using agent = await appliance.start()

  await agent.sync()

  expect(await appliance.installed('app')).toEqual({ model: body })
})

test('checks an object against the sha256 in its name', async () => {
  await using appliance = await open()
  const good = 'a whole archive'
  const sha256 = createHash('sha256').update(good).digest('hex')
  const key = `app/binaries/${sha256}.tar.gz`
  await appliance.put(key, good)
  await using agent = await appliance.start()
  await agent.sync()
  const release = { [`binaries/${sha256}.tar.gz`]: good }
  expect(await appliance.installed('app')).toEqual(release)

  const other = createHash('sha256').update('another').digest('hex')
  await appliance.put(`app/binaries/${other}.tar.gz`, 'damaged')

  await expect(agent.sync()).rejects.toThrow(/as its name or the manifest says.*hint: upload the object again/)
  const before = gets(appliance.cloud)
  await expect(agent.sync()).rejects.toThrow(/as its name or the manifest says/)
  expect(gets(appliance.cloud)).toBe(before)
  expect(await appliance.installed('app')).toEqual(release)
})

async function open(accessPoint?: (cloud: Cloud) => string): Promise<LocalAppliance> {
  return await LocalAppliance.open({
    cloud: { kmsKeyArn },
    config: (cloud) => ({
      artifacts: [
        {
          name: 'app',
          accessPoint: accessPoint?.(cloud) ?? cloud.names.accessPointArn,
          prefix: 'app/',
          pollSeconds: 86_400,
        },
      ],
    }),
  })
}

function gets({ requests }: Cloud): number {
  return requests.count({ service: 's3', action: 'GetObject' })
}

function within(seconds: number): { timeout: number; interval: number } {
  return { timeout: seconds * 1_000, interval: 25 }
}

async function denyAtAccessPoint({ cloud }: LocalAppliance): Promise<void> {
  const resources = [cloud.names.accessPointArn, `${cloud.names.accessPointArn}/object/*`]
  cloud.s3.setAccessPointPolicy(cloud.names.accessPoint, {
    version: '2012-10-17',
    statements: [{ effect: 'Deny', principals: { AWS: ['*'] }, actions: ['s3:*'], resources, conditions: [] }],
  })
  await Promise.resolve()
}

async function withoutDelegation({ cloud }: LocalAppliance): Promise<void> {
  cloud.s3.setBucketPolicy(cloud.names.bucket, undefined)
  await Promise.resolve()
}

async function encryptWithForeignKey({ cloud }: LocalAppliance): Promise<void> {
  await cloud.s3.putObject({
    bucket: cloud.names.bucket,
    key: 'app/encrypted',
    body: 'secret model',
    kmsKeyArn: kmsKeyArn.replace('1234abcd', 'ffffffff'),
  })
}
