import { expect, test } from 'vitest'

import type { PolicyDocument } from '../../../cloud/iam/policy-document.ts'
import {
  accessPoint,
  accessPointArn,
  account,
  bucket,
  bucketArn,
  delegation,
  elements,
  policy,
  readThroughAccessPoints,
  startS3,
  type S3Fixture,
  type SendOptions,
} from './s3-fixture.ts'

const roleArn = `arn:aws:iam::${account}:role/appliance`
const onBucketArn = policy({ resources: [bucketArn, `${bucketArn}/*`] })
const onAccessPointArn = policy({ resources: [accessPointArn, `${accessPointArn}/object/*`] })
const granting = (...principals: readonly string[]): PolicyDocument =>
  policy({ principals: { AWS: principals }, resources: [accessPointArn, `${accessPointArn}/object/*`] })

test('lets the role of the appliance read through an access point of a delegating bucket', async () => {
  expect(await statusWith({})).toEqual({ get: 200, list: 200 })
})

test('demands that the bucket allows too', async () => {
  expect(await statusWith({ bucketPolicy: undefined })).toEqual({ get: 403, list: 403 })
  expect(await statusWith({ bucketPolicy: delegation('999999999999') })).toEqual({ get: 403, list: 403 })
})

test('demands that the access point allows too', async () => {
  expect(await statusWith({ policies: [onBucketArn] })).toEqual({ get: 403, list: 403 })
})

test('takes an allow of the role on both ARNs in place of any resource policy', async () => {
  const given = { policies: [onBucketArn, onAccessPointArn], bucketPolicy: undefined }
  expect(await statusWith(given)).toEqual({ get: 200, list: 200 })
})

test('takes an access point policy that names the role or everyone, with no policy on the role', async () => {
  expect(await statusWith({ policies: [], accessPointPolicy: granting(roleArn) })).toEqual({ get: 200, list: 200 })
  expect(await statusWith({ policies: [], accessPointPolicy: granting('*') })).toEqual({ get: 200, list: 200 })
})

test('does not take an access point policy that names only the account for a grant to the role', async () => {
  const root = `arn:aws:iam::${account}:root`
  expect(await statusWith({ policies: [], accessPointPolicy: granting(root, account) })).toEqual({
    get: 403,
    list: 403,
  })
})

test.each<[string, Setting]>([
  ['the role', { policies: [readThroughAccessPoints(), policy({ effect: 'Deny' })] }],
  ['the role against a resource policy', { policies: [policy({ effect: 'Deny' })], accessPointPolicy: granting('*') }],
  ['the access point', { accessPointPolicy: policy({ effect: 'Deny', principals: { AWS: [account] } }) }],
  [
    'the bucket',
    { bucketPolicy: policy({ principals: { AWS: ['*'] } }, { effect: 'Deny', principals: { AWS: ['*'] } }) },
  ],
])('lets an explicit deny of %s win', async (_, setting) => {
  expect(await statusWith(setting)).toEqual({ get: 403, list: 403 })
})

test('demands both the role and the resource to allow a caller of another account', async () => {
  const caller = { account: '999999999999', bucketPolicy: policy({ principals: { AWS: ['*'] } }) }
  const everything = [policy({})]
  expect(await statusWith({ ...caller, policies: everything })).toEqual({ get: 403, list: 403 })
  const open = { ...caller, accessPointPolicy: granting('999999999999') }
  expect(await statusWith({ ...open, policies: [onAccessPointArn] })).toEqual({ get: 403, list: 403 })
  expect(await statusWith({ ...open, policies: everything })).toEqual({ get: 200, list: 200 })
})

test('decides a list on the ARN of the access point, and an object on one below it', async () => {
  const objects = policy({ resources: [`${accessPointArn}/object/*`, `${bucketArn}/*`] })
  expect(await statusWith({ policies: [objects], bucketPolicy: undefined })).toEqual({ get: 200, list: 403 })
  const list = policy({ resources: [accessPointArn, bucketArn] })
  expect(await statusWith({ policies: [list], bucketPolicy: undefined })).toEqual({ get: 403, list: 200 })
})

test('hides whether a key exists from a caller that may not list', async () => {
  await using fixture = await startS3()
  const policies = [policy({ actions: ['s3:GetObject'] })]
  const answer = await fixture.send('/missing', { policies })
  expect(answer.status).toBe(403)
  expect(elements(answer.text, 'Message')[0]).toContain('s3:ListBucket')
  expect((await fixture.send('/missing')).status).toBe(404)
})

test('says who may not do what, as AWS says it within an account', async () => {
  await using fixture = await startS3()
  const answer = await fixture.send('/key', { policies: [] })
  expect(elements(answer.text, 'Code')).toEqual(['AccessDenied'])
  expect(elements(answer.text, 'Message')).toEqual([
    `User: arn:aws:sts::${account}:assumed-role/appliance/session is not authorized to perform: s3:GetObject on ` +
      `resource: &quot;${accessPointArn}/object/key&quot; because no identity-based policy allows the s3:GetObject action`,
  ])
})

test('lets a role list only the prefix that its policy names', async () => {
  await using fixture = await startS3()
  const policies = [
    policy({
      actions: ['s3:ListBucket'],
      conditions: [{ operator: 'StringLike', key: 's3:prefix', values: ['people-counter/*'] }],
    }),
  ]
  const status = async (query: string): Promise<number> =>
    (await fixture.send(`/?list-type=2${query}`, { policies })).status
  expect(await status('&prefix=people-counter%2F')).toBe(200)
  expect(await status('&prefix=other%2F')).toBe(403)
  expect(await status('')).toBe(403)
})

test('replaces policies while it runs', async () => {
  await using fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'key', body: 'x' })
  fixture.s3.setBucketPolicy(bucket, undefined)
  expect((await fixture.send('/key')).status).toBe(403)
  fixture.s3.setBucketPolicy(bucket, delegation())
  expect((await fixture.send('/key')).status).toBe(200)
})

interface Setting extends SendOptions {
  readonly bucketPolicy?: PolicyDocument | undefined
  readonly accessPointPolicy?: PolicyDocument
}

async function statusWith(setting: Setting): Promise<{ readonly get: number; readonly list: number }> {
  await using fixture: S3Fixture = await startS3()
  await fixture.s3.putObject({ bucket, key: 'key', body: 'x' })
  fixture.s3.setAccessPointPolicy(accessPoint, setting.accessPointPolicy)
  if ('bucketPolicy' in setting) fixture.s3.setBucketPolicy(bucket, setting.bucketPolicy)
  const get = await fixture.send('/key', setting)
  const list = await fixture.send('/?list-type=2', setting)
  return { get: get.status, list: list.status }
}
