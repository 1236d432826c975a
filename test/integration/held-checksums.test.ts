import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { expect, test } from 'vitest'

import type { Cloud } from '../cloud/cloud.ts'
import type { PutObjectOptions } from '../cloud/s3/s3-store.ts'
import { LocalAppliance } from '../support/local-agent.ts'

const MiB = 1024 * 1024
const parts = 3
/** Over the size from which objects are fetched in parts, of 8 MiB. */
const content = randomBytes((parts - 1) * 8 * MiB + 1000)
const key = 'app/model'

const kept: readonly Pick<PutObjectOptions, 'checksum' | 'checksumType' | 'multipartParts'>[] = [
  {},
  { multipartParts: 3 },
  { checksum: 'CRC32', multipartParts: 3, checksumType: 'FULL_OBJECT' },
  { checksum: 'CRC32C' },
  { checksum: 'SHA1' },
  { checksum: 'SHA256' },
]

test.each(kept)('refuses a large object that rotted in the bucket, and keeps the one before: %j', async (how) => {
  await using appliance = await open()
  await put(appliance, how)
  await using agent = await appliance.start()
  await agent.sync()
  await agent.sync()
  expect(await installedSha256(appliance)).toBe(sha256(content))
  expect(heads(appliance.cloud)).toBe(1)
  await put(appliance, { ...how, body: content.toReversed(), rottenAt: 10 * MiB })

  const algorithm = how.checksum ?? 'CRC64NVME'
  const refusal = new RegExp(
    `"app/model" has the ${algorithm} checksum .* as its source holds.*hint: upload the object`,
  )
  await expect(agent.sync()).rejects.toThrow(refusal)
  const asked = appliance.cloud.requests.count({ service: 's3', action: 'GetObject' })
  await expect(agent.sync()).rejects.toThrow(refusal)
  expect(appliance.cloud.requests.count({ service: 's3', action: 'GetObject' })).toBe(asked)
  expect(heads(appliance.cloud)).toBe(2)
  expect(await installedSha256(appliance)).toBe(sha256(content))
  expect(await partials(appliance)).toEqual([])
  const message = expect.stringContaining(algorithm) as unknown
  expect((await agent.status()).artifacts).toMatchObject([
    { state: 'failing', lastError: { name: 'ChecksumMismatchError', message } },
  ])

  await appliance.put(key, 'better')
  await agent.sync()
  expect(await appliance.installed('app')).toEqual({ model: 'better' })
})

test('takes a large object of whose parts alone S3 holds a checksum, and says so at debug', async () => {
  await using appliance = await open()
  await put(appliance, { checksum: 'SHA256', multipartParts: 3 })
  await using agent = await appliance.start({ level: 'debug' })
  await agent.sync()
  expect(await installedSha256(appliance)).toBe(sha256(content))
  expect(agent.lines.filter((text) => text.includes('no checksum to check an object by'))).toHaveLength(1)
})

test.each([403, 501])('takes a large object when HEAD alone is answered with %i, and says so once', async (status) => {
  await using appliance = await open()
  await put(appliance)
  appliance.cloud.faults.inject({ kind: 'error', status, code: 'Refused' }, { service: 's3', action: 'HeadObject' })
  await using agent = await appliance.start()
  await agent.sync()
  expect(await installedSha256(appliance)).toBe(sha256(content))
  expect(agent.lines.filter((text) => /WARN.*tells no checksums/.test(text))).toHaveLength(1)
})

test.each([
  { status: 400, code: 'ExpiredToken' },
  { status: 503, code: 'SlowDown' },
])('checks a large object also when HEAD is first answered with $status', async ({ status, code }) => {
  await using appliance = await open()
  await put(appliance, { rottenAt: 0 })
  appliance.cloud.faults.inject({ kind: 'error', status, code }, { service: 's3', action: 'HeadObject', count: 1 })
  await using agent = await appliance.start()
  await expect(agent.sync()).rejects.toThrow(/CRC64NVME/)
})

test.each([undefined, 0, content.byteLength - 1])(
  'checks an object whose download goes on after a restart, when byte %j of it rotted',
  async (rottenAt) => {
    await using appliance = await open()
    await put(appliance, rottenAt === undefined ? {} : { rottenAt })
    {
      using _ = appliance.cloud.faults.inject(
        { kind: 'stall', afterBytes: 100 },
        { service: 's3', action: 'GetObject', count: 1 },
      )
      await using agent = await appliance.start()
      await expect.poll(() => recordedParts(appliance), { timeout: 20_000 }).toBe(parts - 1)
      await agent.stop()
    }
    appliance.cloud.requests.clear()
    await using agent = await appliance.start()
    if (rottenAt === undefined) await agent.sync()
    else await expect(agent.sync()).rejects.toThrow(/CRC64NVME/)
    expect(heads(appliance.cloud)).toBe(1)
    expect(appliance.cloud.requests.count({ service: 's3', action: 'GetObject', status: 206 })).toBe(1)
    expect(await installedSha256(appliance)).toBe(rottenAt === undefined ? sha256(content) : undefined)
  },
)

async function open(): Promise<LocalAppliance> {
  return await LocalAppliance.open({
    config: ({ names }) => ({
      artifacts: [{ name: 'app', accessPoint: names.accessPointArn, prefix: 'app/', pollSeconds: 86_400 }],
    }),
  })
}

async function put({ cloud }: LocalAppliance, how: Partial<PutObjectOptions> = {}): Promise<void> {
  await cloud.s3.putObject({ bucket: cloud.names.bucket, key, body: content, ...how })
}

function heads({ requests }: Cloud): number {
  return requests.count({ service: 's3', action: 'HeadObject' })
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function installedSha256({ files }: LocalAppliance): Promise<string | undefined> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(join(files.stateFolder, 'artifacts', 'app', 'current', 'model')), hash)
  } catch {
    return undefined
  }
  return hash.digest('hex')
}

async function partials({ files }: LocalAppliance): Promise<readonly string[]> {
  return await readdir(join(files.stateFolder, 'artifacts', 'app', 'partial')).catch(() => [])
}

async function recordedParts(appliance: LocalAppliance): Promise<number> {
  const ledger = (await partials(appliance)).find((name) => name.endsWith('.parts'))
  if (ledger === undefined) return 0
  const path = join(appliance.files.stateFolder, 'artifacts', 'app', 'partial', ledger)
  return (await readFile(path, 'utf8')).trimEnd().split('\n').length - 1
}
