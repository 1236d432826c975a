import { Readable } from 'node:stream'

import {
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  S3Client,
  S3ServiceException,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import type { NodeHttpHandler } from '@smithy/node-http-handler'
import { expect, test } from 'vitest'

import { accessPointArn, bucket, startS3, type S3Fixture } from './s3-fixture.ts'

const awkwardKeys = ['a//b', 'a/../b', 'a b+c%2F', '<&>"\' \r\n', 'é', '\u{1f4f7}'] as const

test('lists and reads awkward keys as the SDK understands them', async () => {
  await using fixture = await startS3()
  for (const key of awkwardKeys) await fixture.s3.putObject({ bucket, key, body: `body of ${key}` })
  fixture.s3.setPageSize(2)
  using client = new InProcessClient(fixture)
  const listed: string[] = []
  for await (const page of paginateListObjectsV2(
    { client: client.sdk, stopOnSameToken: true },
    { Bucket: accessPointArn },
  )) {
    for (const { Key = '' } of page.Contents ?? []) listed.push(Key)
  }
  expect(listed.toSorted()).toEqual(awkwardKeys.toSorted())
  for (const Key of awkwardKeys) {
    const { Body } = await client.sdk.send(new GetObjectCommand({ Bucket: accessPointArn, Key }))
    expect(await Body?.transformToString()).toBe(`body of ${Key}`)
  }
})

test.each(['CRC64NVME', 'CRC32', 'SHA256'] as const)('passes the %s validation of the SDK', async (checksum) => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'key', body: 'content', checksum })
  using client = new InProcessClient(fixture)
  const answer = await client.sdk.send(new GetObjectCommand({ Bucket: accessPointArn, Key: 'key' }))
  expect(answer[`Checksum${checksum}`]).toMatch(/=$/)
  expect(answer.ChecksumType).toBe('FULL_OBJECT')
  expect(await answer.Body?.transformToString()).toBe('content')
})

test('is refused in words and numbers that the SDK understands', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'key', body: 'content' })
  using client = new InProcessClient(fixture)
  const input = { Bucket: accessPointArn, Key: 'key' }
  const failures = [
    new GetObjectCommand({ ...input, Key: 'missing' }),
    new GetObjectCommand({ ...input, IfMatch: '"other"' }),
    new GetObjectCommand({ ...input, IfNoneMatch: '*' }),
    new GetObjectCommand({ ...input, Range: 'bytes=7-' }),
    new GetObjectCommand({ ...input, ExpectedBucketOwner: '999999999999' }),
  ].map((command) => client.sdk.send(command).then(() => 'no failure', describe))
  expect(await Promise.all(failures)).toEqual([
    '404 NoSuchKey',
    '412 PreconditionFailed',
    '304 Unknown',
    '416 InvalidRange',
    '403 AccessDenied',
  ])
  const head = new HeadObjectCommand({ ...input, Key: 'missing' })
  expect(await client.sdk.send(head).then(() => 'no failure', describe)).toBe('404 NotFound')
})

test('makes the SDK ask again when a list fails under status 200', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'key', body: 'content' })
  fixture.s3.failListsWithStatus200('InternalError', 1)
  using client = new InProcessClient(fixture)
  const pages = await Array.fromAsync(
    paginateListObjectsV2({ client: client.sdk, stopOnSameToken: true }, { Bucket: accessPointArn }),
  )
  expect(pages.map(({ KeyCount }) => KeyCount)).toEqual([1])
  expect(client.requests).toBe(2)
})

type WireRequest = Parameters<NodeHttpHandler['handle']>[0]

/** The real SDK with the service in place of its connection. */
class InProcessClient implements Disposable {
  readonly sdk: S3Client
  requests = 0

  constructor(fixture: S3Fixture) {
    this.sdk = new S3Client({
      region: 'us-west-2',
      endpoint: 'https://s3.localhost',
      credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
      requestHandler: this.#handlerOf(fixture),
    })
  }

  #handlerOf(fixture: S3Fixture): NonNullable<S3ClientConfig['requestHandler']> {
    return {
      handle: async ({ method, hostname, path, query, headers }: WireRequest) => {
        this.requests++
        const parameters = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
        const answer = await fixture.send(`${path}?${parameters.join('&')}`, { method, host: hostname, headers })
        return {
          response: { statusCode: answer.status, headers: { ...answer.headers }, body: Readable.from([answer.bytes]) },
        }
      },
      metadata: { handlerProtocol: 'http/1.1' },
    }
  }

  [Symbol.dispose](): void {
    this.sdk.destroy()
  }
}

function describe(error: unknown): string {
  if (!(error instanceof S3ServiceException)) throw error
  return `${error.$metadata.httpStatusCode ?? 0} ${error.name}`
}
