import { expect, test } from 'vitest'

import { bucket, elements, startS3, type S3Fixture } from './s3-fixture.ts'

test('lists keys in the order of their UTF-8 bytes, with what AWS says of each', async () => {
  await using fixture = await startS3()
  await put(fixture, ['b', 'a', 'B', '\uffee', '\u{1f4f7}', 'é'])
  await fixture.s3.putObject({ bucket, key: 'z', body: '123', checksum: 'SHA256', multipartParts: 2 })
  const { status, headers, text } = await fixture.send('/?list-type=2')
  expect(status).toBe(200)
  expect(headers['content-type']).toBe('application/xml')
  expect(elements(text, 'Key')).toEqual(['B', 'a', 'b', 'z', 'é', '\uffee', '\u{1f4f7}'])
  expect(elements(text, 'LastModified')[0]).toBe('2026-05-31T12:00:00.000Z')
  expect(elements(text, 'ETag')[3]).toMatch(/^&quot;[0-9a-f]{32}-2&quot;$/)
  expect(elements(text, 'Size')[3]).toBe('3')
  expect(elements(text, 'ChecksumAlgorithm')[3]).toBe('SHA256')
  expect(elements(text, 'ChecksumType')[3]).toBe('COMPOSITE')
  expect(elements(text, 'IsTruncated')).toEqual(['false'])
  expect(elements(text, 'KeyCount')).toEqual(['7'])
})

test('gives page after page of the size that was asked for', async () => {
  await using fixture = await startS3()
  await put(fixture, ['a', 'b', 'c', 'd', 'e'])
  expect(await pages(fixture, '&max-keys=2')).toEqual([['a', 'b'], ['c', 'd'], ['e']])
  expect(await pages(fixture, '&max-keys=2&start-after=b')).toEqual([['c', 'd'], ['e']])
})

test('gives smaller pages than asked for when the administrator says so', async () => {
  await using fixture = await startS3()
  await put(fixture, ['a', 'b', 'c'])
  fixture.s3.setPageSize(1)
  expect(await pages(fixture, '')).toEqual([['a'], ['b'], ['c']])
})

test('goes on behind the last key of a page although that key was deleted since', async () => {
  await using fixture = await startS3()
  await put(fixture, ['a', 'b', 'c'])
  const first = await fixture.send('/?list-type=2&max-keys=2')
  await fixture.s3.deleteObject({ bucket, key: 'b' })
  const token = encodeURIComponent(elements(first.text, 'NextContinuationToken')[0] ?? '')
  const second = await fixture.send(`/?list-type=2&continuation-token=${token}`)
  expect(elements(second.text, 'Key')).toEqual(['c'])
})

test('keeps to the prefix, and rolls up to the delimiter', async () => {
  await using fixture = await startS3()
  await put(fixture, ['m/1', 'm/x/2', 'm/x/3', 'n/4'])
  const { text } = await fixture.send('/?list-type=2&prefix=m%2F&delimiter=%2F')
  expect(elements(text, 'Key')).toEqual(['m/1'])
  expect(elements(text, 'Prefix')).toEqual(['m/', 'm/x/'])
  expect(elements(text, 'KeyCount')).toEqual(['2'])
})

test('escapes markup and control characters in names', async () => {
  await using fixture = await startS3()
  await put(fixture, ['<&>"\r\n'])
  const { text } = await fixture.send('/?list-type=2')
  expect(elements(text, 'Key')).toEqual(['&lt;&amp;&gt;&quot;&#13;&#10;'])
})

test('encodes names for URLs on request, and leaves slashes alone', async () => {
  await using fixture = await startS3()
  await put(fixture, ['a b/é+~*(3).png'])
  const { text } = await fixture.send('/?list-type=2&encoding-type=url&prefix=a%20')
  expect(elements(text, 'Key')).toEqual(['a+b/%C3%A9%2B%7E*%283%29.png'])
  expect(elements(text, 'Prefix')).toEqual(['a+'])
  expect(elements(text, 'EncodingType')).toEqual(['url'])
})

test('never gives more than 1000 keys, and none for max-keys=0', async () => {
  await using fixture = await startS3()
  await put(fixture, ['a'])
  expect(elements((await fixture.send('/?list-type=2&max-keys=5000')).text, 'MaxKeys')).toEqual(['1000'])
  const none = await fixture.send('/?list-type=2&max-keys=0')
  expect(elements(none.text, 'KeyCount')).toEqual(['0'])
  expect(elements(none.text, 'IsTruncated')).toEqual(['false'])
})

test.each([
  ['max-keys=-1', 'max-keys'],
  ['max-keys=2147483648', 'max-keys'],
  ['max-keys=two', 'max-keys'],
  ['encoding-type=base64', 'encoding-type'],
  ['continuation-token=', 'continuation-token'],
  ['continuation-token=guess', 'continuation-token'],
])('refuses %s', async (query, argument) => {
  await using fixture = await startS3()
  const answer = await fixture.send(`/?list-type=2&${query}`)
  expect(answer.status).toBe(400)
  expect(elements(answer.text, 'Code')).toEqual(['InvalidArgument'])
  expect(elements(answer.text, 'ArgumentName')).toEqual([argument])
})

test('answers the next lists with an error under status 200 when told to', async () => {
  await using fixture = await startS3()
  fixture.s3.failListsWithStatus200('InternalError', 1)
  const failed = await fixture.send('/?list-type=2')
  expect(failed.status).toBe(200)
  expect(elements(failed.text, 'Code')).toEqual(['InternalError'])
  expect((await fixture.send('/?list-type=2')).text).toContain('<ListBucketResult')
})

async function put(fixture: S3Fixture, keys: readonly string[]): Promise<void> {
  for (const key of keys) await fixture.s3.putObject({ bucket, key, body: key })
}

async function pages(fixture: S3Fixture, query: string, token = ''): Promise<readonly (readonly string[])[]> {
  const { text } = await fixture.send(`/?list-type=2${query}${token}`)
  const next = elements(text, 'NextContinuationToken')[0]
  if (next === undefined) return [elements(text, 'Key')]
  if (token.endsWith(encodeURIComponent(next))) throw new Error('a page did not get ahead')
  return [elements(text, 'Key'), ...(await pages(fixture, query, `&continuation-token=${encodeURIComponent(next)}`))]
}
