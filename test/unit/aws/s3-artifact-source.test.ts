import { S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { LookupFunction } from 'node:net'
import { describe, expect, it } from 'vitest'

import type { ArtifactSource, ObjectBody, SourceObject } from '../../../agent/artifacts/artifact-source.ts'
import { createAwsCall } from '../../../agent/aws/aws-call.ts'
import { createS3ArtifactSource } from '../../../agent/aws/s3-artifact-source.ts'

const accessPoint = 'arn:aws:s3:us-west-2:123456789012:accesspoint/panorama'
const { signal } = new AbortController()
const object: SourceObject = { key: 'app/a b', path: 'a b', etag: '"1"', sizeBytes: 5 }

describe('listing', () => {
  it('asks the access point for the prefix, page after page', async () => {
    await using s3 = await startS3((request, response) => {
      const last = request.url?.includes('continuation-token=next') === true
      response.end(last ? page(['app/b']) : page(['app/a%20b%2Bc+d'], { next: 'next' }))
    })
    expect((await s3.source.list(signal)).map(({ key, path }) => [key, path])).toEqual([
      ['app/a b+c d', 'a b+c d'],
      ['app/b', 'b'],
    ])
    expect(s3.requests.map(({ headers }) => headers.host)).toEqual([
      expect.stringMatching(/^panorama-123456789012\.s3\.localhost:/),
      expect.stringMatching(/^panorama-123456789012\.s3\.localhost:/),
    ])
    expect(s3.requests[0]?.url).toContain('prefix=app%2F')
  })

  it.each([
    ['says nothing about how many keys it has', '<ListBucketResult></ListBucketResult>'],
    ['lacks keys that it counts', page([], { keyCount: 1 })],
    ['goes on without saying where', page(['app/a'], { truncated: true })],
    ['holds keys of another prefix', page(['other/a'])],
  ])('refuses an answer that %s, so that it is not taken for an empty prefix', async (_, body) => {
    await using s3 = await startS3((__, response) => response.end(body))
    await expect(s3.source.list(signal)).rejects.toMatchObject({ retryable: true })
  })

  it('refuses to go round in circles', async () => {
    await using s3 = await startS3((_, response) => response.end(page(['app/a'], { next: 'same' })))
    await expect(s3.source.list(signal)).rejects.toThrow('not a whole one')
  })

  it('hints at the access point policy, the bucket policy and the key, in this order, when access is denied', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(403).end('<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>')
    })
    const hint = expect.stringMatching(/access point policy.*bucket policy.*kms:Decrypt/) as unknown
    await expect(s3.source.list(signal)).rejects.toMatchObject({ failure: 'access-denied', hint })
    await expect(s3.source.open(object, { signal })).rejects.toMatchObject({ failure: 'access-denied', hint })
  })
})

describe('opening', () => {
  it('asks for the very version that was listed, with its checksum', async () => {
    await using s3 = await startS3((_, response) => response.end('12345'))
    expect(await readAll(await open(s3.source))).toBe('12345')
    expect(s3.requests[0]?.url).toBe('/app/a%20b?x-id=GetObject')
    expect(s3.requests[0]?.headers).toMatchObject({ 'if-match': '"1"', 'x-amz-checksum-mode': 'ENABLED' })
  })

  it.each([
    [412, 'PreconditionFailed'],
    [404, 'NoSuchKey'],
  ])('answers changed for %i %s', async (status, code) => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`)
    })
    expect(await s3.source.open(object, { signal })).toBe('changed')
  })

  it('asks for nothing twice when the first answer is an error', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(412).end('<Error><Code>PreconditionFailed</Code></Error>')
    })
    expect(await s3.source.open(object, { signal })).toBe('changed')
    expect(s3.requests).toHaveLength(1)
  })

  it.each(['a server that is overloaded', 'a connection that is lost'])(
    'leaves it to the SDK to try again after %s',
    async (what) => {
      const s3: S3Stub = await startS3(
        (_, response) => {
          if (s3.requests.length > 1) response.end('12345')
          else if (what === 'a connection that is lost') response.destroy()
          else response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>')
        },
        { maxAttempts: 2 },
      )
      await using _ = s3
      expect(await readAll(await open(s3.source))).toBe('12345')
      expect(s3.requests).toHaveLength(2)
    },
  )

  it('says when to come back, as the answer does', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(503, { 'retry-after': '7' }).end('<Error><Code>SlowDown</Code></Error>')
    })
    const expected = { failure: 'throttled', isOverloaded: true, retryAfterMs: 7_000 }
    await expect(s3.source.open(object, { signal })).rejects.toMatchObject(expected)
  })

  it('asks for a version, and for a range without a checksum', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 1-3/5', etag: '"1"' }).end('234')
    })
    const options = { signal, range: { start: 1, end: 4 } }
    const body = await s3.source.open({ key: "app/it's (1)*!", versionId: 'v/1', sizeBytes: 5 }, options)
    if (body === 'changed') throw new Error('changed')
    expect(await readAll(body)).toBe('234')
    expect(s3.requests[0]?.url).toBe('/app/it%27s%20%281%29%2A%21?versionId=v%2F1&x-id=GetObject')
    expect(s3.requests[0]?.headers).toMatchObject({ range: 'bytes=1-3' })
    expect(s3.requests[0]?.headers).not.toHaveProperty('x-amz-checksum-mode')
  })

  it('throws when the access point is gone', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(404).end('<Error><Code>NoSuchAccessPoint</Code></Error>')
    })
    await expect(s3.source.open(object, { signal })).rejects.toMatchObject({ failure: 'not-found' })
  })

  it('fails with a retryable error when the connection is lost in mid-body', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(200, { 'content-length': '5' }).write('123', () => response.destroy())
    })
    await expect(readAll(await open(s3.source))).rejects.toMatchObject({ retryable: true })
  })

  it('fails with a retryable error when the content is not what S3 has a checksum for', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(200, { 'x-amz-checksum-crc32': 'AAAAAA==' }).end('12345')
    })
    await expect(readAll(await open(s3.source))).rejects.toMatchObject({
      retryable: true,
      message: expect.stringContaining('broke off') as unknown,
    })
  })

  it('takes an object as it comes of which S3 has only a checksum that nothing here can compute', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(200, { 'x-amz-checksum-xxhash64': 'AAAAAAAAAAA=' }).end('12345')
    })
    expect(await readAll(await open(s3.source))).toBe('12345')
  })

  it('ends the connection of an answer that the SDK can make nothing of', async () => {
    const s3: S3Stub = await startS3(
      (_, response) => {
        if (s3.requests.length === 1) response.destroy()
        else response.writeHead(200, { 'x-amz-checksum-xxhash64': 'AAAAAAAAAAA=' }).write('12345')
      },
      { maxAttempts: 2 },
    )
    await using _ = s3
    await expect(s3.source.open(object, { signal })).rejects.toThrow('XXHASH64')
    const { socket } = s3.requests[1] ?? expect.fail('no second request')
    if (!socket.closed) await once(socket, 'close')
  })

  it.each(['the signal aborts', 'it is disposed'])('ends a silent body and its connection when %s', async (how) => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(200, { 'content-length': '5', 'x-amz-checksum-crc32': 'AAAAAA==' }).write('123')
    })
    const controller = new AbortController()
    await using body = await open(s3.source, controller.signal)
    const chunks = body[Symbol.asyncIterator]()
    await chunks.next()
    const pending = expect(chunks.next()).rejects.toThrow()
    const closed = once(s3.requests[0]?.socket ?? expect.fail('no request'), 'close')
    if (how === 'it is disposed') await body[Symbol.asyncDispose]()
    else controller.abort(new Error('stop'))
    await pending
    await closed
  })
})

describe('the checksum that is held', () => {
  it('is asked for of the very version that was listed', async () => {
    await using s3 = await startS3((_, response) => {
      response.writeHead(200, { 'x-amz-checksum-crc32': 'y/Q5Jg==', 'x-amz-checksum-type': 'FULL_OBJECT' }).end()
    })
    const held = await s3.source.heldChecksum({ ...object, versionId: 'v1' }, signal)
    expect(held).toMatchObject({ kind: 'held', algorithm: 'CRC32', value: 'y/Q5Jg==' })
    expect(s3.requests.map(({ method, url }) => [method, url])).toEqual([['HEAD', '/app/a%20b?versionId=v1']])
    expect(s3.requests[0]?.headers).toMatchObject({ 'if-match': '"1"', 'x-amz-checksum-mode': 'ENABLED' })
  })

  it('is the strongest where there are several', async () => {
    await using s3 = await startS3((_, response) => {
      const headers = {
        'x-amz-checksum-crc32': 'y/Q5Jg==',
        'x-amz-checksum-sha256': 'abc=',
        'x-amz-checksum-sha1': 'd=',
      }
      response.writeHead(200, headers).end()
    })
    expect(await s3.source.heldChecksum(object, signal)).toMatchObject({ algorithm: 'SHA256', value: 'abc=' })
  })

  it.each([
    ['is said to be of parts', { 'x-amz-checksum-crc32': 'y/Q5Jg==', 'x-amz-checksum-type': 'COMPOSITE' }, /parts/],
    ['looks like one of parts', { 'x-amz-checksum-crc32': 'y/Q5Jg==-3' }, /parts/],
    ['is of an algorithm that is not known', { 'x-amz-checksum-xxhash64': 'y/Q5Jg==' }, /known/],
    ['is not there', {}, /known/],
  ])('is of no use when it %s', async (_, headers, why) => {
    await using s3 = await startS3((__, response) => response.writeHead(200, headers).end())
    const expected = { kind: 'none', why: expect.stringMatching(why) as unknown }
    expect(await s3.source.heldChecksum(object, signal)).toMatchObject(expected)
  })

  it.each([404, 412])('is of another version, or of none, when S3 answers %i', async (status) => {
    await using s3 = await startS3((_, response) => response.writeHead(status).end())
    expect(await s3.source.heldChecksum(object, signal)).toBe('changed')
  })

  it.each([400, 403, 405, 501])('is refused when HEAD is answered with %i, but a byte can be read', async (status) => {
    await using s3 = await startS3((request, response) => {
      if (request.method === 'HEAD') response.writeHead(status).end()
      else response.writeHead(206, { 'content-range': 'bytes 0-0/5' }).end('1')
    })
    const held = await s3.source.heldChecksum(object, signal)
    expect(held).toMatchObject({ kind: 'refused', error: { operation: 'HeadObject', status } })
    expect(s3.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET', 'HEAD'])
  })

  it('fails as reading does when nothing can be read either', async () => {
    await using s3 = await startS3((request, response) => {
      response.writeHead(403).end(request.method === 'HEAD' ? '' : '<Error><Code>AccessDenied</Code></Error>')
    })
    const operation = 'GetObject'
    await expect(s3.source.heldChecksum(object, signal)).rejects.toMatchObject({ failure: 'access-denied', operation })
  })

  it('is answered changed when that is what reading finds', async () => {
    await using s3 = await startS3((request, response) => {
      response.writeHead(request.method === 'HEAD' ? 403 : 412).end('<Error><Code>PreconditionFailed</Code></Error>')
    })
    expect(await s3.source.heldChecksum(object, signal)).toBe('changed')
  })

  it('fails with a retryable error when S3 is overloaded', async () => {
    await using s3 = await startS3((_, response) => response.writeHead(503, { 'retry-after': '7' }).end())
    const expected = { retryable: true, isOverloaded: true, retryAfterMs: 7_000 }
    await expect(s3.source.heldChecksum(object, signal)).rejects.toMatchObject(expected)
    expect(s3.requests).toHaveLength(1)
  })
})

interface S3Stub extends AsyncDisposable {
  readonly source: ArtifactSource
  readonly requests: readonly IncomingMessage[]
}

async function startS3(handle: RequestListener, { maxAttempts = 1 } = {}): Promise<S3Stub> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    handle(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const client = new S3Client({
    region: 'us-west-2',
    endpoint: `http://s3.localhost:${address.port}`,
    credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'test' },
    maxAttempts,
    requestHandler: new NodeHttpHandler({ httpAgent: { lookup: loopback } }),
  })
  const credentials = { currentKeyId: () => undefined, invalidate: () => undefined }
  const call = createAwsCall({ credentials, onConnectionFailure: () => undefined })
  return {
    source: createS3ArtifactSource({ client, call, accessPoint, prefix: 'app/' }),
    requests,
    async [Symbol.asyncDispose]() {
      client.destroy()
      server.closeAllConnections()
      await once(server.close(), 'close')
    },
  }
}

const loopback: LookupFunction = (_, options, done) => {
  if (options.all === true) done(null, [{ address: '127.0.0.1', family: 4 }])
  else done(null, '127.0.0.1', 4)
}

interface PageOptions {
  readonly next?: string
  readonly truncated?: boolean
  readonly keyCount?: number
}

function page(keys: readonly string[], { next, truncated, keyCount }: PageOptions = {}): string {
  const contents = keys.map((key) => `<Contents><Key>${key}</Key><ETag>"1"</ETag><Size>5</Size></Contents>`)
  return [
    `<ListBucketResult><EncodingType>url</EncodingType><KeyCount>${keyCount ?? keys.length}</KeyCount>`,
    `<IsTruncated>${truncated ?? next !== undefined}</IsTruncated>`,
    ...(next === undefined ? [] : [`<NextContinuationToken>${next}</NextContinuationToken>`]),
    ...contents,
    '</ListBucketResult>',
  ].join('')
}

async function open(source: ArtifactSource, bodySignal: AbortSignal = signal): Promise<ObjectBody> {
  const body = await source.open(object, { signal: bodySignal })
  if (body === 'changed') throw new Error('changed')
  return body
}

async function readAll(opened: ObjectBody): Promise<string> {
  await using body = opened
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
