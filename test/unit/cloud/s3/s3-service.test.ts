import { expect, test } from 'vitest'

import { ServiceFault } from '../../../cloud/contract.ts'
import { accessPoint, account, bucket, cloudRequest, elements, startS3 } from './s3-fixture.ts'

test('serves the names of access points and nothing outside s3.localhost', async () => {
  await using fixture = await startS3()
  const hosts = [`${accessPoint}-${account}.s3.localhost`, 's3.localhost', 'logs.localhost', 'evils3.localhost']
  expect(hosts.map(fixture.s3.serves)).toEqual([true, true, false, false])
})

test.each([
  ['s3.localhost', 400, 'InvalidRequest'],
  [`other-${account}.s3.localhost`, 404, 'NoSuchAccessPoint'],
  [`${accessPoint}-999999999999.s3.localhost`, 404, 'NoSuchAccessPoint'],
  [`${bucket}.s3.localhost`, 404, 'NoSuchAccessPoint'],
])('answers the host %s with %d %s', async (host, status, code) => {
  await using fixture = await startS3()
  const answer = await fixture.send('/key', { host })
  expect(answer.status).toBe(status)
  expect(elements(answer.text, 'Code')).toEqual([code])
})

test('redirects to an access point of another region unless told to serve it', async () => {
  await using fixture = await startS3()
  fixture.s3.createAccessPoint({ name: 'panorama-far', bucket, region: 'eu-west-1' })
  await fixture.s3.putObject({ bucket, key: 'key', body: 'far' })
  const host = `panorama-far-${account}.s3.localhost`
  const redirected = await fixture.send('/key', { host })
  expect(redirected).toMatchObject({ status: 301, headers: { 'x-amz-bucket-region': 'eu-west-1' } })
  expect(elements(redirected.text, 'Code')).toEqual(['PermanentRedirect'])
  expect(elements(redirected.text, 'Endpoint')).toEqual([
    `panorama-far-${account}.s3-accesspoint.eu-west-1.amazonaws.com`,
  ])
  fixture.s3.redirectOtherRegions(false)
  expect(await fixture.send('/key', { host })).toMatchObject({ status: 200, text: 'far' })
})

test.each([
  ['GET', '/key', 'GetObject'],
  ['HEAD', '/key', 'HeadObject'],
  ['GET', '/?list-type=2', 'ListObjectsV2'],
  ['GET', '/', 'ListObjects'],
  ['PUT', '/key', 'PutObject'],
  ['DELETE', '/key', 'DeleteObject'],
])('calls %s %s %s', async (method, target, action) => {
  await using fixture = await startS3()
  expect(fixture.s3.actionOf(cloudRequest(target, { method }))).toBe(action)
})

test.each(['DELETE', 'POST'])('refuses %s of an object, which is not offered', async (method) => {
  await using fixture = await startS3()
  const answer = await fixture.send('/key', { method })
  expect(answer.status).toBe(405)
  expect(elements(answer.text, 'Code')).toEqual(['MethodNotAllowed'])
})

test('refuses a bucket owner other than the expected one', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'key', body: 'x' })
  const expecting = (owner: string) => ({ headers: { 'x-amz-expected-bucket-owner': owner } })
  expect((await fixture.send('/key', expecting('999999999999'))).status).toBe(403)
  expect((await fixture.send('/key', expecting(account))).status).toBe(200)
})

test('gives a refusal of the frame the shape of S3', async () => {
  await using fixture = await startS3()
  const fault = new ServiceFault(503, 'SlowDown', 'Please reduce your request rate.', { 'retry-after': '1' })
  const request = cloudRequest('/key')
  const answer = fixture.s3.formatFault(fault, request)
  expect(answer).toMatchObject({
    status: 503,
    headers: { 'content-type': 'application/xml', 'retry-after': '1', 'x-amz-request-id': request.id },
  })
  expect(answer.body).toContain('<Code>SlowDown</Code>')
})

test('lists keys as they come and go', async () => {
  await using fixture = await startS3()
  expect(fixture.s3.listKeys(bucket)).toEqual([])
  for (const key of ['b', 'a']) await fixture.s3.putObject({ bucket, key, body: key })
  expect(fixture.s3.listKeys(bucket)).toEqual(['a', 'b'])
  await fixture.s3.deleteObject({ bucket, key: 'a' })
  expect(fixture.s3.listKeys(bucket)).toEqual(['b'])
})

test('refuses a mistaken administrator by name', async () => {
  await using fixture = await startS3()
  expect(() => fixture.s3.createAccessPoint({ name: 'x', bucket: 'nowhere' })).toThrow(/no bucket "nowhere"/)
  expect(() => {
    fixture.s3.setAccessPointPolicy('nowhere', undefined)
  }).toThrow(/no access point "nowhere"/)
  await expect(fixture.s3.putObject({ bucket: 'nowhere', key: 'k', body: '' })).rejects.toThrow(/no bucket "nowhere"/)
})
