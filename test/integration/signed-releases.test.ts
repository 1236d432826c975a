import { stat } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { LocalAppliance, type LocalAgent } from '../support/local-agent.ts'
import { Publisher } from '../support/publisher.ts'
import {
  manifestFile,
  manifestPayload,
  signed,
  signingKey,
  unsigned,
  type SigningKey,
} from '../support/signed-manifest.ts'

const manifestKey = 'app/release.jws'

test('installs what is published, and fetches of the next release only what is new', async () => {
  await using fleet = await Fleet.open()
  const { appliance, publisher } = fleet
  await publisher.fill({ 'bin/run': '#!/bin/sh', 'model.bin': 'first', 'same.bin': 'first' }, ['bin/run'])
  const first = await fleet.publish('--version', '1.0')
  expect(first.stdout).toMatch(
    /^app: version 1\.0, sequence 1, 3 files, 19 bytes, of which 14 bytes were uploaded; signed/m,
  )
  await using agent = await appliance.start()
  await agent.sync()
  expect(await appliance.installed('app')).toEqual({
    'bin/run': '#!/bin/sh',
    'model.bin': 'first',
    'same.bin': 'first',
  })
  const current = join(appliance.files.stateFolder, 'artifacts', 'app', 'current')
  expect((await stat(join(current, 'bin/run'))).mode & 0o777).toBe(0o555)
  expect((await stat(join(current, 'model.bin'))).mode & 0o777).toBe(0o444)

  await publisher.fill({ 'bin/run': '#!/bin/sh', 'model.bin': 'second' }, ['bin/run'])
  expect((await fleet.publish('--version', '1.1')).stdout).toContain('sequence 2, 2 files, 15 bytes, of which 6 bytes')
  appliance.cloud.requests.clear()
  await agent.sync()
  expect(await appliance.installed('app')).toEqual({ 'bin/run': '#!/bin/sh', 'model.bin': 'second' })
  expect(fleet.requests()).toEqual({ 's3:GetObject': 2 }) // manifest and model
  expect((await agent.status()).artifacts).toMatchObject([
    { state: 'ok', manifest: { sequence: 2, version: '1.1', verified: true } },
  ])
})

test('asks one conditional question in a pass when nothing changed, also after a restart', async () => {
  await using fleet = await Fleet.open()
  await fleet.publisher.fill({ a: '1', b: '2' })
  await fleet.publish()
  for (let start = 1; start <= 2; start += 1) {
    await using agent = await fleet.appliance.start()
    await agent.sync()
    fleet.appliance.cloud.requests.clear()
    for (let pass = 1; pass <= 3; pass += 1) await agent.sync()
    expect(fleet.requests()).toEqual({ 's3:GetObject': 3 })
    expect(fleet.appliance.cloud.requests.count({ action: 'GetObject', status: 304, path: `/${manifestKey}` })).toBe(3)
  }
})

test('goes back when the old files are published again under a higher sequence', async () => {
  await using fleet = await Fleet.open()
  await using agent = await fleet.appliance.start()
  for (const content of ['good', 'bad', 'good']) {
    await fleet.publisher.fill({ model: content })
    await fleet.publish()
    await agent.sync()
    expect(await fleet.appliance.installed('app')).toEqual({ model: content })
  }
  expect((await agent.status()).artifacts).toMatchObject([{ manifest: { sequence: 3 } }])
})

test('lets keys be rotated: both listed, then published with the new one, then the old one taken out', async () => {
  await using fleet = await Fleet.open()
  const next = await signingKey('EdDSA')
  await fleet.publisher.fill({ model: 'old key' })
  await fleet.publish()
  await fleet.trust(fleet.key, next)
  {
    await using agent = await fleet.appliance.start()
    await agent.sync()
    await fleet.publisher.fill({ model: 'new key' })
    const nextFile = await fleet.publisher.write('next.pem', next.privatePem)
    const refused = await fleet.publisher.publish('--key', nextFile)
    expect(refused.stderr).toMatch(/not one that this key signed.*\nhint: .*--sequence 2/)
    expect(await fleet.publisher.publish('--key', nextFile, '--sequence', '2')).toMatchObject({ code: 0 })
    await agent.sync()
    expect(await fleet.appliance.installed('app')).toEqual({ model: 'new key' })
  }
  await fleet.trust(next)
  await using agent = await fleet.appliance.start()
  await agent.sync()
  await fleet.putManifest(await signed(manifestPayload({ sequence: 9 }), fleet.key))
  await expect(agent.sync()).rejects.toThrow('and trusted are')
})

test.each<{ what: string; why: string; manifest: (key: SigningKey, old: string) => Promise<string> | string }>([
  {
    what: 'was changed on its way',
    why: 'its signature is wrong',
    manifest: async (key) => {
      const [head, , signature] = (await signed(manifestPayload({ sequence: 5 }), key)).split('.')
      return [head, Buffer.from(manifestPayload({ sequence: 6 })).toString('base64url'), signature].join('.')
    },
  },
  { what: 'is an old one, put there again', why: 'sequence 1 is below 2', manifest: (_, old) => old },
  { what: 'is not signed', why: 'it is not signed', manifest: () => unsigned(manifestPayload({ sequence: 5 })) },
  {
    what: 'is signed by somebody else',
    why: 'and trusted are',
    manifest: async () => await signed(manifestPayload({ sequence: 5 }), await signingKey()),
  },
  {
    what: 'is for another artifact',
    why: 'it is for "other"',
    manifest: async (key) => await signed(manifestPayload({ sequence: 5, name: 'other' }), key),
  },
  {
    what: 'has the sequence of the installed one and says something else',
    why: 'another manifest with its sequence 2',
    manifest: async (key) => await signed(manifestPayload({ sequence: 2 }), key),
  },
  {
    what: 'is nested a million deep',
    why: 'nested more than 16 deep',
    manifest: async (key) => await signed(`{"schema":${'['.repeat(1_000_000)}`, key),
  },
  {
    what: 'has a million and one objects',
    why: 'more than 1000000 arrays and objects',
    manifest: async (key) => await signed(`{"files":[${'{},'.repeat(1_000_000)}{}]}`, key),
  },
  {
    what: 'wants a file outside of the release',
    why: '"../../etc/x" cannot be a file of a release',
    manifest: async (key) =>
      await signed(manifestPayload({ sequence: 5, files: [{ ...manifestFile('x', 'y'), path: '../../etc/x' }] }), key),
  },
  {
    what: 'wants two files in the same place',
    why: 'differs in case or Unicode form only',
    manifest: async (key) =>
      await signed(manifestPayload({ sequence: 5, files: [manifestFile('A', 'y'), manifestFile('a', 'y')] }), key),
  },
  { what: 'has 50 MB', why: 'more than the 33554432 bytes', manifest: () => 'x'.repeat(50_000_000) },
])('keeps the installed release and says why when a manifest $what, and recovers', async ({ why, manifest }) => {
  await using fleet = await Fleet.open()
  await using agent = await fleet.appliance.start()
  const old = await fleet.manifest(1, 'one')
  const good = await fleet.manifest(2, 'two')
  await fleet.appliance.put(`app/${String(manifestFile('model', 'two')['key'])}`, 'two')
  await fleet.putManifest(good)
  await agent.sync()

  await fleet.putManifest(await manifest(fleet.key, old))
  fleet.appliance.cloud.requests.clear()
  await expect(agent.sync()).rejects.toThrow(why)
  await expect(agent.sync()).rejects.toThrow(why)
  const received = fleet.appliance.cloud.requests.list({ action: 'GetObject' })
  expect(received.map(({ status }) => status)).toEqual(why.includes('33554432') ? [200, 200] : [200, 304])

  expect(await fleet.appliance.installed('app')).toEqual({ model: 'two' })
  expect(await statusOf(agent)).toMatchObject({ state: 'failing', manifest: { sequence: 2, verified: true } })
  expect((await statusOf(agent))?.lastError?.message).toContain(why)
  expect((await statusOf(agent))?.lastError?.hint).not.toBeUndefined()

  await fleet.putManifest(good)
  await agent.sync()
  expect(await statusOf(agent)).toMatchObject({ state: 'ok' })
})

test('calls a release unverified that no trusted key vouches for', async () => {
  await using fleet = await Fleet.open()
  await fleet.trust()
  await fleet.publisher.fill({ model: 'one' })
  expect((await fleet.publisher.publish('--version', 'v1')).stdout).toContain('not signed')
  await using agent = await fleet.appliance.start()
  await agent.sync()
  expect(await fleet.appliance.installed('app')).toEqual({ model: 'one' })
  expect(await statusOf(agent)).toMatchObject({ manifest: { version: 'v1', verified: false } })
})

test('keeps the installed release when an object is not what the manifest promises', async () => {
  await using fleet = await Fleet.open()
  await using agent = await fleet.appliance.start()
  await fleet.publisher.fill({ model: 'one' })
  await fleet.publish()
  await agent.sync()
  await fleet.publisher.fill({ model: 'two' })
  await fleet.publish()
  const { sha256 } = manifestFile('model', 'two')
  await fleet.appliance.put(`app/objects/${String(sha256)}`, 'owt')
  await expect(agent.sync()).rejects.toThrow(/has the sha256/)
  expect(await fleet.appliance.installed('app')).toEqual({ model: 'one' })
})

async function statusOf(agent: LocalAgent) {
  return (await agent.status()).artifacts[0]
}

/** An appliance that trusts one key, and a publisher who has it. */
class Fleet implements AsyncDisposable {
  readonly appliance: LocalAppliance
  readonly publisher: Publisher
  readonly key: SigningKey
  readonly #keyFile: string

  private constructor(appliance: LocalAppliance, publisher: Publisher, signing: { key: SigningKey; file: string }) {
    this.appliance = appliance
    this.publisher = publisher
    this.key = signing.key
    this.#keyFile = signing.file
  }

  static async open(): Promise<Fleet> {
    await using resources = new AsyncDisposableStack()
    const appliance = resources.use(await LocalAppliance.open())
    const publisher = resources.use(await Publisher.open(appliance.cloud))
    const key = await signingKey()
    const fleet = new Fleet(appliance, publisher, { key, file: await publisher.write('key.pem', key.privatePem) })
    await fleet.trust(key)
    resources.move()
    return fleet
  }

  /** Has the appliance's next start trust these keys. */
  async trust(...keys: readonly SigningKey[]): Promise<void> {
    const { accessPointArn: accessPoint } = this.appliance.cloud.names
    const trustedKeys = keys.map(({ publicPem }) => publicPem)
    await this.appliance.configure({ artifacts: [{ name: 'app', accessPoint, prefix: 'app/', trustedKeys }] })
  }

  /** Throws unless it succeeds. */
  async publish(...args: readonly string[]) {
    const outcome = await this.publisher.publish('--key', this.#keyFile, ...args)
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    return outcome
  }

  async putManifest(jws: string): Promise<void> {
    await this.appliance.put(manifestKey, jws)
  }

  /** A good manifest of one file, `model`. */
  async manifest(sequence: number, content: string): Promise<string> {
    return await signed(manifestPayload({ sequence, files: [manifestFile('model', content)] }), this.key)
  }

  /** What the appliance asked S3 since the records were cleared. */
  requests(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.appliance.cloud.requests.countByAction({ service: 's3' }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publisher[Symbol.asyncDispose]()
    await this.appliance[Symbol.asyncDispose]()
  }
}
