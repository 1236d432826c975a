import { access } from 'node:fs/promises'

import {
  CloudWatchLogsClient,
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  PutLogEventsCommand,
} from '@aws-sdk/client-cloudwatch-logs'
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import {
  BatchGetSecretValueCommand,
  GetSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager'
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import type { Appliance } from '../../cloud/appliances.ts'
import { startCloud, type Cloud } from '../../cloud/cloud.ts'
import { getCredentials, type DeviceCredentials } from './credentials-client.ts'
import { sdkOptions } from './sdk-options.ts'
import { textMatching } from './text-matching.ts'

const thingName = 'panorama_dock-1_Thing_a01e373b'
const group = { logGroupName: '/aws/panorama/devices/dock-1' }
const stream = { ...group, logStreamName: 'agent' }

describe('the local cloud', () => {
  let cloud: Cloud
  let identity: Appliance
  let credentials: DeviceCredentials
  const clients: { destroy(): void }[] = []

  beforeEach(async () => {
    cloud = await startCloud()
    identity = await cloud.appliances.createAppliance({ thingName })
    credentials = await getCredentials(cloud, { identity, thingName })
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy()
    await cloud[Symbol.asyncDispose]()
  })

  it('leaves no listener and no file behind when it is disposed of', async () => {
    const other = await startCloud()
    await other.s3.putObject({ bucket: other.names.bucket, key: 'a', body: 'b' })
    const device = await other.appliances.createAppliance({ thingName })
    await getCredentials(other, { identity: device })
    await other[Symbol.asyncDispose]()

    await expect(access(other.folder)).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(getCredentials(other, { identity: device })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  describe('S3', () => {
    const keys = ['people-counter/model.bin', 'people-counter/a/../b//c', 'people-counter/100% +&=?/ü€.txt']

    beforeEach(async () => {
      for (const key of keys) await cloud.s3.putObject({ bucket: cloud.names.bucket, key, body: `bytes of ${key}` })
    })

    it.each(keys)('gives %s to the SDK through the access point', async (Key) => {
      const { Body } = await s3().send(new GetObjectCommand({ Bucket: cloud.names.accessPointArn, Key }))

      expect(await Body?.transformToString()).toBe(`bytes of ${Key}`)
    })

    it('lists keys over pages', async () => {
      cloud.s3.setPageSize(2)
      const list = { Bucket: cloud.names.accessPointArn, Prefix: 'people-counter/' }

      const first = await s3().send(new ListObjectsV2Command(list))
      const second = await s3().send(
        new ListObjectsV2Command({ ...list, ContinuationToken: first.NextContinuationToken }),
      )

      const listed = [first, second].map(({ Contents = [] }) => Contents.map(({ Key }) => Key))
      expect(listed.map(({ length }) => length)).toEqual([2, 1])
      expect(listed.flat().sort()).toEqual(keys.toSorted())
    })

    it('denies an object outside of the access point', async () => {
      cloud.s3.setAccessPointPolicy(cloud.names.accessPoint, undefined)
      cloud.s3.setBucketPolicy(cloud.names.bucket, undefined)
      cloud.roles.put({ name: cloud.names.role, trustPolicy: cloud.policies.applianceRoleTrust, policies: [] })

      await expect(getModel(s3())).rejects.toMatchObject({ name: 'AccessDenied', $metadata: { httpStatusCode: 403 } })
    })

    it.each([
      {
        name: 'ExpiredToken',
        status: 400,
        arrange: () => {
          cloud.sessions.expireAll()
        },
      },
      {
        name: 'InvalidAccessKeyId',
        status: 403,
        arrange: () => {
          cloud.sessions.invalidateAll()
        },
      },
      { name: 'SignatureDoesNotMatch', status: 403, change: { secretAccessKey: 'another' } },
      { name: 'RequestTimeTooSkewed', status: 403, offsetMs: 3_600_000 },
    ])('answers $name with $status', async ({ name, status, arrange, change, offsetMs }) => {
      arrange?.()
      const client = s3({ credentials: { ...credentials, ...change }, systemClockOffset: offsetMs ?? 0 })

      await expect(getModel(client)).rejects.toMatchObject({ name, $metadata: { httpStatusCode: status } })
    })

    it('slows down on demand, and above a quota', async () => {
      cloud.faults.inject({ kind: 'error', status: 503, code: 'SlowDown' }, { service: 's3', count: 1 })
      await expect(getModel(s3())).rejects.toMatchObject({ name: 'SlowDown' })

      cloud.quotas.set('s3', 'GetObject', 1)
      await getModel(s3())
      await expect(getModel(s3())).rejects.toMatchObject({ name: 'SlowDown', $metadata: { httpStatusCode: 503 } })
    })

    it.each(['cut', 'stall'] as const)('streams a body up to a %s', async (kind) => {
      const bytes = 300_000
      await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'big', body: Buffer.alloc(bytes, 'x') })
      cloud.faults.inject({ kind, afterBytes: 100_000 }, { service: 's3', action: 'GetObject' })
      const gone = new AbortController()

      const { Body } = await s3().send(new GetObjectCommand({ Bucket: cloud.names.accessPointArn, Key: 'big' }), {
        abortSignal: gone.signal,
      })
      let received = 0
      const reading = (async () => {
        for await (const chunk of Body as AsyncIterable<Uint8Array>) {
          received += chunk.length
          if (kind === 'stall' && received === 100_000) throw new Error('stalled here')
        }
      })()

      await expect(reading).rejects.toThrow(kind === 'cut' ? /aborted/ : /stalled here/)
      expect(received).toBe(100_000)
      expect(cloud.requests.list({ action: 'GetObject' }).at(-1)).toMatchObject({ status: 200, responseBytes: 100_000 })
    })
  })

  describe('CloudWatch Logs', () => {
    it('takes events from the SDK in the groups that the role allows', async () => {
      const client = logs()
      await client.send(new CreateLogGroupCommand(group))
      await client.send(new CreateLogStreamCommand(stream))
      await client.send(
        new PutLogEventsCommand({ ...stream, logEvents: [{ timestamp: cloud.now(), message: 'hello' }] }),
      )

      expect(cloud.logs.events(group.logGroupName, 'agent').map(({ message }) => message)).toEqual(['hello'])
      expect(cloud.requests.countByAction({ service: 'logs' }).get('logs:PutLogEvents')).toBe(1)
    })

    it('denies another group', async () => {
      await expect(logs().send(new CreateLogGroupCommand({ logGroupName: '/other' }))).rejects.toMatchObject({
        name: 'AccessDeniedException',
      })
    })

    it('lets credentials expire in the middle of a session', async () => {
      const client = logs()
      await client.send(new CreateLogGroupCommand(group))
      cloud.sessions.expireAll()

      await expect(client.send(new CreateLogStreamCommand(stream))).rejects.toMatchObject({
        name: 'ExpiredTokenException',
      })
    })
  })

  describe('Secrets Manager', () => {
    const own = `panorama/${thingName}/dock-3`

    it('gives an appliance its own secrets and those that are shared', async () => {
      const ids = [own, 'panorama/shared/dock-4']
      for (const id of ids) cloud.secrets.createSecret(id, `value of ${id}`)

      const { SecretString } = await secretsManager().send(new GetSecretValueCommand({ SecretId: own }))
      const { SecretValues = [] } = await secretsManager().send(new BatchGetSecretValueCommand({ SecretIdList: ids }))

      expect(SecretString).toBe(`value of ${own}`)
      expect(SecretValues.map((secret) => secret.SecretString).sort()).toEqual(ids.map((id) => `value of ${id}`).sort())
    })

    it("denies another appliance's secret", async () => {
      cloud.secrets.createSecret('panorama/another/dock-3', 'value')
      const command = new GetSecretValueCommand({ SecretId: 'panorama/another/dock-3' })

      await expect(secretsManager().send(command)).rejects.toMatchObject({ name: 'AccessDeniedException' })
    })

    it('denies its own secret to credentials that name no thing', async () => {
      cloud.secrets.createSecret(own, 'value')
      credentials = await getCredentials(cloud, { identity })

      await expect(secretsManager().send(new GetSecretValueCommand({ SecretId: own }))).rejects.toMatchObject({
        name: 'AccessDeniedException',
      })
    })

    it('throttles batches above 100 a second', async () => {
      cloud.quotas.scale(0.01)
      const batch = new BatchGetSecretValueCommand({ SecretIdList: ['panorama/shared/none'] })
      await secretsManager().send(batch)

      await expect(secretsManager().send(batch)).rejects.toMatchObject({ name: 'ThrottlingException' })
    })
  })

  describe('role chaining', () => {
    it("lets the base role do nothing but assume the chained one, which has lost the thing's name", async () => {
      const { roleAlias, roleArn } = cloud.createRoleChain()
      const device = await cloud.appliances.createAppliance({ thingName: 'panorama_dock-2', alias: roleAlias })
      const base = await getCredentials(cloud, { identity: device, alias: roleAlias, thingName: 'panorama_dock-2' })
      const denied = logs({ credentials: base }).send(new CreateLogGroupCommand(group))
      await expect(denied).rejects.toMatchObject({ name: 'AccessDeniedException' })

      const sts = new STSClient(sdkOptions(cloud, base, cloud.endpoints.sts))
      clients.push(sts)
      const { Credentials } = await sts.send(
        new AssumeRoleCommand({ RoleArn: roleArn, RoleSessionName: 'panorama_dock-2' }),
      )
      const chained = {
        accessKeyId: Credentials?.AccessKeyId ?? '',
        secretAccessKey: Credentials?.SecretAccessKey ?? '',
        sessionToken: Credentials?.SessionToken ?? '',
      }

      await expect(logs({ credentials: chained }).send(new CreateLogGroupCommand(group))).resolves.toBeDefined()
      expect(cloud.requests.list({ service: 'logs' }).at(-1)).toMatchObject({
        thingName: undefined,
        callerArn: textMatching(/:assumed-role\/panorama-appliance-chained\/panorama_dock-2$/),
      })
    })
  })

  async function getModel(client: S3Client): Promise<string | undefined> {
    const command = new GetObjectCommand({ Bucket: cloud.names.accessPointArn, Key: 'people-counter/model.bin' })
    return (await client.send(command)).Body?.transformToString()
  }

  function s3(change: object = {}): S3Client {
    return keep(new S3Client({ ...sdkOptions(cloud, credentials, cloud.endpoints.s3), ...change }))
  }

  function logs(change: object = {}): CloudWatchLogsClient {
    return keep(new CloudWatchLogsClient({ ...sdkOptions(cloud, credentials, cloud.endpoints.logs), ...change }))
  }

  function secretsManager(): SecretsManagerClient {
    return keep(new SecretsManagerClient(sdkOptions(cloud, credentials, cloud.endpoints.secretsManager)))
  }

  function keep<T extends { destroy(): void }>(client: T): T {
    clients.push(client)
    return client
  }
})
