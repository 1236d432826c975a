import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'

import { expect, test } from 'vitest'

import { bucket, elements, modifiedAtMs, policy, readThroughAccessPoints, startS3 } from './s3-fixture.ts'

const key = 'people-counter/model.bin'
const md5 = (text: string): string => `"${createHash('md5').update(text).digest('hex')}"`

test('streams the whole object with the headers that AWS gives it', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'weights', metadata: { Sha256: 'abc' } })
  const answer = await fixture.send(`/${key}`)
  expect(answer).toMatchObject({ status: 200, text: 'weights' })
  expect(answer.headers).toMatchObject({
    etag: md5('weights'),
    'content-length': '7',
    'content-type': 'binary/octet-stream',
    'accept-ranges': 'bytes',
    'last-modified': 'Sun, 31 May 2026 12:00:00 GMT',
    'x-amz-meta-sha256': 'abc',
    'x-amz-server-side-encryption': 'AES256',
  })
  expect(Object.keys(answer.headers)).toEqual(expect.arrayContaining(['x-amz-request-id', 'x-amz-id-2']))
  expect(answer.headers).not.toHaveProperty('x-amz-version-id')
})

test('keeps objects on disk, and drops the bytes of one that is replaced or deleted', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'old' })
  await fixture.s3.putObject({ bucket, key, body: 'new' })
  expect(await readdir(fixture.folder)).toHaveLength(1)
  expect((await fixture.send(`/${key}`)).text).toBe('new')
  await fixture.s3.deleteObject({ bucket, key })
  expect(await readdir(fixture.folder)).toEqual([])
})

test('asks to try again when the bytes of an object went before they could be opened', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'weights' })
  await rm(fixture.folder, { recursive: true })
  const answer = await fixture.send(`/${key}`)
  expect([answer.status, elements(answer.text, 'Code')]).toEqual([500, ['InternalError']])
})

test('answers an empty object', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: '' })
  const answer = await fixture.send(`/${key}`)
  expect(answer).toMatchObject({ status: 200, text: '' })
  expect(answer.headers).toMatchObject({ 'content-length': '0', etag: md5('') })
})

test('answers HEAD with the headers of GET and no body, even when it refuses', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'weights' })
  const head = await fixture.send(`/${key}`, { method: 'HEAD' })
  expect(head).toMatchObject({ status: 200, text: '' })
  expect(head.headers).toMatchObject({ 'content-length': '7', etag: md5('weights') })
  expect(await fixture.send('/missing', { method: 'HEAD' })).toMatchObject({ status: 404, text: '' })
})

test('gives a range with its place in the object, and without checksum', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: '0123456789' })
  const headers = { range: 'bytes=4-6', 'x-amz-checksum-mode': 'ENABLED' }
  const answer = await fixture.send(`/${key}`, { headers })
  expect(answer).toMatchObject({ status: 206, text: '456' })
  expect(answer.headers).toMatchObject({ 'content-range': 'bytes 4-6/10', 'content-length': '3' })
  expect(Object.keys(answer.headers).filter((name) => name.includes('checksum'))).toEqual([])
})

test('refuses a range behind the end with the size that there is', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: '0123456789' })
  const answer = await fixture.send(`/${key}`, { headers: { range: 'bytes=10-' } })
  expect(answer.status).toBe(416)
  expect(elements(answer.text, 'Code')).toEqual(['InvalidRange'])
  expect(elements(answer.text, 'ActualObjectSize')).toEqual(['10'])
})

test.each([
  [{ 'if-match': md5('weights') }, 200],
  [{ 'if-match': md5('weights').slice(1, -1) }, 200],
  [{ 'if-match': '"other"' }, 412],
  [{ 'if-match': '"other"', range: 'bytes=99-' }, 412],
  [{ 'if-match': '*', 'if-unmodified-since': 'Sat, 30 May 2026 12:00:00 GMT' }, 200],
  [{ 'if-unmodified-since': 'Sat, 30 May 2026 12:00:00 GMT' }, 412],
  [{ 'if-unmodified-since': 'Sun, 31 May 2026 12:00:00 GMT' }, 200],
  [{ 'if-none-match': md5('weights') }, 304],
  [{ 'if-none-match': '"other"' }, 200],
  [{ 'if-none-match': '"other"', 'if-modified-since': 'Sun, 31 May 2026 12:00:00 GMT' }, 200],
  [{ 'if-modified-since': 'Sun, 31 May 2026 12:00:00 GMT' }, 304],
  [{ 'if-modified-since': 'Sat, 30 May 2026 12:00:00 GMT' }, 200],
])('answers the conditions %j with %d', async (headers, status) => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'weights' })
  expect((await fixture.send(`/${key}`, { headers })).status).toBe(status)
})

test('names the condition that did not hold, and gives a 304 its ETag but no body', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'weights' })
  const failed = await fixture.send(`/${key}`, { headers: { 'if-match': '"other"' } })
  expect(elements(failed.text, 'Code')).toEqual(['PreconditionFailed'])
  expect(elements(failed.text, 'Condition')).toEqual(['If-Match'])
  const unchanged = await fixture.send(`/${key}`, { headers: { 'if-none-match': md5('weights') } })
  expect(unchanged).toMatchObject({ status: 304, text: '' })
  expect(unchanged.headers).toMatchObject({ etag: md5('weights') })
})

test('finds keys by the exact path, whatever they are made of', async () => {
  const paths = ['/a/../b', '/..', '//a', '/a//b', '/a%2Fb', '/a+b', '/a%20b', '/%C3%A9', '/%F0%9F%93%B7', '/a%252Fb']
  const keys = ['a/../b', '..', '/a', 'a//b', 'a/b', 'a+b', 'a b', 'é', '\u{1f4f7}', 'a%2Fb']
  await using fixture = await startS3()
  for (const each of keys) await fixture.s3.putObject({ bucket, key: each, body: each })
  const texts = await Promise.all(paths.map(async (path) => (await fixture.send(path)).text))
  expect(texts).toEqual(keys)
})

test.each([
  ['/%FF', 400, 'InvalidURI'],
  ['/%zz', 400, 'InvalidURI'],
  [`/${'k'.repeat(1025)}`, 400, 'KeyTooLongError'],
  [`/${'k'.repeat(1024)}`, 404, 'NoSuchKey'],
  ['/model.bin?partNumber=1', 501, 'NotImplemented'],
  ['/model.bin?versionId=', 400, 'InvalidArgument'],
  ['/model.bin?versionId=x', 400, 'InvalidArgument'],
])('answers %s with %d %s', async (target, status, code) => {
  await using fixture = await startS3()
  const answer = await fixture.send(target)
  expect(answer.status).toBe(status)
  expect(elements(answer.text, 'Code')).toEqual([code])
})

test('names a missing key, escaped, with the ids of the request', async () => {
  await using fixture = await startS3()
  const answer = await fixture.send('/a%3Cb%3E%26')
  expect(answer.status).toBe(404)
  expect(elements(answer.text, 'Code')).toEqual(['NoSuchKey'])
  expect(elements(answer.text, 'Key')).toEqual(['a&lt;b&gt;&amp;'])
  expect(elements(answer.text, 'RequestId')).toEqual([answer.headers['x-amz-request-id']])
  expect(elements(answer.text, 'HostId')).toEqual([answer.headers['x-amz-id-2']])
})

test('gives the checksum that an object was put with, only when asked', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'crc64', body: '123456789' })
  await fixture.s3.putObject({ bucket, key: 'crc32', body: '123456789', checksum: 'CRC32' })
  await fixture.s3.putObject({ bucket, key: 'sha256', body: '123456789', checksum: 'SHA256' })
  const headers = { 'x-amz-checksum-mode': 'ENABLED' }
  const [crc64, crc32, sha256] = await Promise.all(
    ['crc64', 'crc32', 'sha256'].map(async (name) => (await fixture.send(`/${name}`, { headers })).headers),
  )
  expect(crc64).toMatchObject({ 'x-amz-checksum-crc64nvme': 'rosUhgp5mIg=', 'x-amz-checksum-type': 'FULL_OBJECT' })
  expect(crc32).toMatchObject({ 'x-amz-checksum-crc32': 'y/Q5Jg==', 'x-amz-checksum-type': 'FULL_OBJECT' })
  const digest = createHash('sha256').update('123456789').digest('base64')
  expect(sha256).toMatchObject({ 'x-amz-checksum-sha256': digest, 'x-amz-checksum-type': 'FULL_OBJECT' })
  expect((await fixture.send('/crc64')).headers).not.toHaveProperty('x-amz-checksum-crc64nvme')
})

test('gives an object that was put in parts an ETag that is no MD5, and its own kind of checksum', async () => {
  await using fixture = await startS3()
  const object = { bucket, body: '123456789', multipartParts: 3 }
  const { etag } = await fixture.s3.putObject({ ...object, key: 'crc64' })
  await fixture.s3.putObject({ ...object, key: 'sha256', checksum: 'SHA256' })
  const parts = ['123', '456', '789'].map((part) => createHash('md5').update(part).digest())
  expect(etag).toBe(`"${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-3"`)
  const headers = { 'x-amz-checksum-mode': 'ENABLED' }
  const crc64 = await fixture.send('/crc64', { headers })
  expect(crc64.text).toBe('123456789')
  expect(crc64.headers).toMatchObject({
    'x-amz-checksum-crc64nvme': 'rosUhgp5mIg=',
    'x-amz-checksum-type': 'FULL_OBJECT',
  })
  const sha256 = await fixture.send('/sha256', { headers })
  expect(sha256.headers['x-amz-checksum-type']).toBe('COMPOSITE')
  expect(sha256.headers['x-amz-checksum-sha256']).toMatch(/=-3$/)
})

test.each([
  ['CRC32', 'FULL_OBJECT', 'y/Q5Jg=='],
  ['CRC32C', 'FULL_OBJECT', '4waSgw=='],
  ['CRC32C', 'COMPOSITE', expect.stringMatching(/==-3$/)],
  ['SHA1', 'COMPOSITE', expect.stringMatching(/=-3$/)],
] as const)('keeps the %s of an object that was put in parts as %s', async (checksum, checksumType, value) => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: '123456789', multipartParts: 3, checksum, checksumType })
  const { headers } = await fixture.send(`/${key}`, { method: 'HEAD', headers: { 'x-amz-checksum-mode': 'ENABLED' } })
  const name = `x-amz-checksum-${checksum.toLowerCase()}`
  expect(headers).toMatchObject({ [name]: value as unknown, 'x-amz-checksum-type': checksumType })
})

test('keeps checksum and ETag of what was put when the bytes rot', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: '123456789', rottenAt: 3 })
  const answer = await fixture.send(`/${key}`, { headers: { 'x-amz-checksum-mode': 'ENABLED' } })
  expect(answer.text).toBe('123556789')
  expect(answer.headers).toMatchObject({ etag: md5('123456789'), 'x-amz-checksum-crc64nvme': 'rosUhgp5mIg=' })
})

test('keeps the versions of a versioned bucket and hides deleted objects behind a marker', async () => {
  await using fixture = await startS3({ versioned: true })
  const first = await fixture.s3.putObject({ bucket, key, body: 'one' })
  const second = await fixture.s3.putObject({ bucket, key, body: 'two' })
  expect((await fixture.send(`/${key}`)).headers['x-amz-version-id']).toBe(second.versionId)
  await fixture.s3.deleteObject({ bucket, key })
  const gone = await fixture.send(`/${key}`)
  expect(gone).toMatchObject({ status: 404, headers: { 'x-amz-delete-marker': 'true' } })
  expect(fixture.s3.listKeys(bucket)).toEqual([])
  const old = await fixture.send(`/${key}?versionId=${first.versionId}`)
  expect(old).toMatchObject({ status: 200, text: 'one' })
  const marker = await fixture.send(`/${key}?versionId=${gone.headers['x-amz-version-id'] ?? ''}`)
  expect(marker).toMatchObject({ status: 405, headers: { allow: 'DELETE' } })
  const unknown = await fixture.send(`/${key}?versionId=${'x'.repeat(32)}`)
  expect(elements(unknown.text, 'Code')).toEqual(['NoSuchVersion'])
})

test('demands s3:GetObjectVersion in place of s3:GetObject for a named version', async () => {
  await using fixture = await startS3({ versioned: true })
  const { versionId } = await fixture.s3.putObject({ bucket, key, body: 'one' })
  const target = `/${key}?versionId=${versionId}`
  const only = (action: string) => ({ policies: [policy({ actions: [action] })] })
  expect((await fixture.send(target, only('s3:GetObject'))).status).toBe(403)
  expect((await fixture.send(target, only('s3:GetObjectVersion'))).status).toBe(200)
  expect((await fixture.send(`/${key}`, only('s3:GetObjectVersion'))).status).toBe(403)
})

test('demands kms:Decrypt on the customer managed key, by S3 and for the object', async () => {
  await using fixture = await startS3()
  const kmsKeyArn = 'arn:aws:kms:us-west-2:123456789012:key/k'
  const { etag } = await fixture.s3.putObject({ bucket, key, body: 'secret weights', kmsKeyArn })
  const withKey = (value: string) => [
    readThroughAccessPoints(),
    policy({
      actions: ['kms:Decrypt'],
      resources: [kmsKeyArn],
      conditions: [{ operator: 'StringEquals', key: 'kms:ViaService', values: [value] }],
    }),
  ]
  const refused = await fixture.send(`/${key}`)
  expect(refused.status).toBe(403)
  expect(elements(refused.text, 'Message')[0]).toContain('kms:Decrypt')
  expect((await fixture.send(`/${key}`, { policies: withKey('sqs.us-west-2.amazonaws.com') })).status).toBe(403)
  const answer = await fixture.send(`/${key}`, { policies: withKey('s3.us-west-2.amazonaws.com') })
  expect(answer).toMatchObject({ status: 200, text: 'secret weights' })
  expect(answer.headers['x-amz-server-side-encryption-aws-kms-key-id']).toBe(kmsKeyArn)
  expect(etag).not.toBe(md5('secret weights'))
})

test('reports the time of the put in whole seconds', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key, body: 'weights' })
  const answer = await fixture.send(`/${key}`, { method: 'HEAD' })
  expect(Date.parse(answer.headers['last-modified'] ?? '')).toBe(modifiedAtMs - (modifiedAtMs % 1000))
})
