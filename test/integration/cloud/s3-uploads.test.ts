import { createHash, randomBytes } from 'node:crypto'

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'

import { startCloud, type Cloud } from '../../cloud/cloud.ts'
import { sdkOptions } from './sdk-options.ts'

const Key = 'app/model.bin'
const partBytes = 5 * 1024 * 1024

test('puts an object and gets it back, with the checksum that came with it', async () => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const Bucket = cloud.names.accessPointArn
  const ChecksumSHA256 = createHash('sha256').update('weights').digest('base64')
  const put = await s3.client.send(new PutObjectCommand({ Bucket, Key, Body: 'weights', ChecksumSHA256 }))
  const head = await s3.client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  expect(head).toMatchObject({ ETag: put.ETag, ContentLength: 7, ChecksumSHA256, ChecksumType: 'FULL_OBJECT' })
  const got = await s3.client.send(new GetObjectCommand({ Bucket, Key }))
  expect(await got.Body?.transformToString()).toBe('weights')
})

test('refuses a body that is not what its checksum says', async () => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const wrong = createHash('sha256').update('other').digest('base64')
  const command = new PutObjectCommand({ Bucket: cloud.names.accessPointArn, Key, Body: 'w', ChecksumSHA256: wrong })
  await expect(s3.client.send(command)).rejects.toMatchObject({ name: 'BadDigest' })
  expect(cloud.s3.listKeys(cloud.names.bucket)).toEqual([])
})

test('writes on conditions: only when there is none, only over the version that was seen', async () => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const put = (
    Body: string,
    condition: { IfMatch?: string; IfNoneMatch?: string },
  ): Promise<{ ETag?: string | undefined }> =>
    s3.client.send(new PutObjectCommand({ Bucket: cloud.names.accessPointArn, Key, Body, ...condition }))
  await expect(put('0', { IfMatch: '"never seen"' })).rejects.toMatchObject({ name: 'NoSuchKey' })
  const { ETag = '' } = await put('1', { IfNoneMatch: '*' })
  await expect(put('2', { IfNoneMatch: '*' })).rejects.toMatchObject({ name: 'PreconditionFailed' })
  await put('3', { IfMatch: ETag })
  await expect(put('4', { IfMatch: ETag })).rejects.toMatchObject({ name: 'PreconditionFailed' })
  const results = await Promise.allSettled([put('5', { IfNoneMatch: '*' }), put('6', { IfMatch: ETag })])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('lets one of two writers win', async () => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const writes = ['one', 'two', 'three'].map((Body) =>
    s3.client.send(new PutObjectCommand({ Bucket: cloud.names.accessPointArn, Key, Body, IfNoneMatch: '*' })),
  )
  const results = await Promise.allSettled(writes)
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})

test('puts an object in parts, whatever order they come in', async () => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const [first, last] = [randomBytes(partBytes), randomBytes(10)]
  const upload = await begin(cloud, s3.client)
  const two = await upload.part(2, last)
  const one = await upload.part(1, first)
  expect(cloud.s3.listUploads(cloud.names.bucket)).toEqual([Key])
  const { ETag } = await upload.complete([one, two])
  expect(ETag).toMatch(/-2"$/)
  expect(cloud.s3.listUploads(cloud.names.bucket)).toEqual([])
  const got = await s3.client.send(new GetObjectCommand({ Bucket: cloud.names.accessPointArn, Key }))
  expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(Buffer.concat([first, last]))).toBe(true)
})

test.each([
  { what: 'parts out of order', error: 'InvalidPartOrder', choose: (parts: Parts) => [...parts].reverse() },
  {
    what: 'a part that was not put',
    error: 'InvalidPart',
    choose: (parts: Parts) => parts.map((part) => ({ ...part, PartNumber: part.PartNumber + 7 })),
  },
  {
    what: 'parts without their checksums',
    error: 'InvalidRequest',
    choose: (parts: Parts) => parts.map((part) => ({ ...part, ChecksumCRC32: undefined })),
  },
  { what: 'a small part before the last', error: 'EntityTooSmall', choose: (parts: Parts) => parts },
])('refuses to complete $what', async ({ error, choose }) => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const upload = await begin(cloud, s3.client)
  const parts = [await upload.part(1, randomBytes(100)), await upload.part(2, randomBytes(100))]
  await expect(upload.complete(choose(parts))).rejects.toMatchObject({ name: error })
  expect(cloud.s3.listKeys(cloud.names.bucket)).toEqual([])
})

test.each([
  { algorithm: 'CRC32', type: 'FULL_OBJECT', kept: 'FULL_OBJECT' },
  { algorithm: 'CRC32', type: undefined, kept: 'COMPOSITE' },
  { algorithm: 'SHA256', type: undefined, kept: 'COMPOSITE' },
  { algorithm: undefined, type: undefined, kept: 'FULL_OBJECT' },
] as const)('keeps a checksum of an object put in parts as $kept: $algorithm, $type', async (one) => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const named = { Bucket: cloud.names.accessPointArn, Key }
  const asked = { ChecksumAlgorithm: one.algorithm, ChecksumType: one.type }
  const begun = await s3.client.send(new CreateMultipartUploadCommand({ ...named, ...asked }))
  expect(begun).toMatchObject({ ChecksumType: one.kept })
  const part = { ...named, UploadId: begun.UploadId, PartNumber: 1 }
  const algorithm = one.algorithm ?? 'CRC64NVME'
  const put = await s3.client.send(new UploadPartCommand({ ...part, Body: 'weights', ChecksumAlgorithm: algorithm }))
  const checksum = { [`Checksum${algorithm}`]: put[`Checksum${algorithm}`] }
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: put.ETag, ...checksum }] }
  await s3.client.send(new CompleteMultipartUploadCommand({ ...named, UploadId: begun.UploadId, MultipartUpload }))
  const head = await s3.client.send(new HeadObjectCommand({ ...named, ChecksumMode: 'ENABLED' }))
  expect(head.ChecksumType).toBe(one.kept)
  const value = one.kept === 'COMPOSITE' ? /-1$/ : /=$/
  expect(head[`Checksum${algorithm}`]).toMatch(value)
})

test.each([
  { ChecksumAlgorithm: 'SHA256', ChecksumType: 'FULL_OBJECT' },
  { ChecksumAlgorithm: 'CRC64NVME', ChecksumType: 'COMPOSITE' },
] as const)('refuses an upload in parts with $ChecksumAlgorithm as $ChecksumType', async (asked) => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const command = new CreateMultipartUploadCommand({ Bucket: cloud.names.accessPointArn, Key, ...asked })
  await expect(s3.client.send(command)).rejects.toMatchObject({ name: 'InvalidRequest' })
})

test('forgets an upload that is aborted', async () => {
  await using cloud = await startCloud()
  using s3 = publisher(cloud)
  const upload = await begin(cloud, s3.client)
  await s3.client.send(new AbortMultipartUploadCommand({ ...upload.named }))
  expect(cloud.s3.listUploads(cloud.names.bucket)).toEqual([])
  await expect(upload.part(1, randomBytes(1))).rejects.toMatchObject({ name: 'NoSuchUpload' })
})

test('lets an appliance write nothing', async () => {
  await using cloud = await startCloud()
  const roleName = cloud.names.role
  const session = { roleName, sessionName: 'appliance', durationSeconds: 900, context: {} }
  using s3 = clientOf(cloud, cloud.sessions.issue(session))
  const Bucket = cloud.names.accessPointArn
  await expect(s3.client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))).rejects.toThrow(/s3:PutObject/)
  await expect(begin(cloud, s3.client)).rejects.toThrow(/s3:PutObject/)
})

type Parts = readonly {
  readonly PartNumber: number
  readonly ETag: string | undefined
  readonly ChecksumCRC32: string | undefined
}[]

function publisher(cloud: Cloud): { readonly client: S3Client } & Disposable {
  return clientOf(cloud, cloud.signInPublisher())
}

function clientOf(
  cloud: Cloud,
  credentials: ReturnType<Cloud['signInPublisher']>,
): { readonly client: S3Client } & Disposable {
  const client = new S3Client(
    sdkOptions(cloud, { ...credentials, expiration: new Date(credentials.expirationMs) }, cloud.endpoints.s3),
  )
  return {
    client,
    [Symbol.dispose]: () => {
      client.destroy()
    },
  }
}

async function begin(cloud: Cloud, s3: S3Client) {
  const Bucket = cloud.names.accessPointArn
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: 'CRC32' }))
  const named = { Bucket, Key, UploadId }
  return {
    named,
    part: async (PartNumber: number, Body: Buffer) => {
      const { ETag, ChecksumCRC32 } = await s3.send(new UploadPartCommand({ ...named, PartNumber, Body }))
      return { PartNumber, ETag, ChecksumCRC32 }
    },
    complete: async (parts: Parts) =>
      await s3.send(new CompleteMultipartUploadCommand({ ...named, MultipartUpload: { Parts: [...parts] } })),
  }
}
