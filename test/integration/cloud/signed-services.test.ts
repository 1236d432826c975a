import { CloudWatchLogsClient, DescribeLogGroupsCommand } from '@aws-sdk/client-cloudwatch-logs'
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { getCredentials, type DeviceCredentials } from './credentials-client.ts'
import { account, policy, roleName, startDemoFrame, thingName, trustProvider, type DemoFrame } from './demo-frame.ts'
import { sdkOptions } from './sdk-options.ts'
import { textMatching } from './text-matching.ts'

const describeGroups = new DescribeLogGroupsCommand({})

describe('a signed service', () => {
  let cloud: DemoFrame
  let credentials: DeviceCredentials
  const clients: { destroy(): void }[] = []

  beforeEach(async () => {
    cloud = await startDemoFrame()
    const identity = await cloud.appliances.createAppliance({ thingName, thingTypeName: 'appliance' })
    credentials = await getCredentials(cloud, { identity, thingName })
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy()
    await cloud[Symbol.asyncDispose]()
  })

  it('learns who the caller is from the signature', async () => {
    await logs().send(describeGroups)

    expect(cloud.calls).toHaveLength(1)
    expect(cloud.calls[0]?.caller).toMatchObject({
      arn: textMatching(new RegExp(`^arn:aws:sts::${account}:assumed-role/${roleName}/[0-9a-f]{64}$`)),
      roleArn: `arn:aws:iam::${account}:role/${roleName}`,
      context: {
        'credentials-iot:ThingName': thingName,
        'credentials-iot:ThingTypeName': 'appliance',
        'credentials-iot:AwsCertificateId': textMatching(/^[0-9a-f]{64}$/),
      },
    })
  })

  it('sees the policies that the role has now', async () => {
    const later = policy({ actions: ['logs:PutLogEvents'], resources: ['*'] })
    cloud.roles.put({ name: roleName, trustPolicy: trustProvider, policies: [later] }, { visibleAfterMs: 60_000 })

    await logs().send(describeGroups)
    await cloud.setTimeOffset(61_000)
    await logs({ systemClockOffset: 61_000 }).send(describeGroups)

    expect(cloud.calls.map(({ caller }) => caller.policies)).toEqual([[], [later]])
  })

  it.each([
    { change: { accessKeyId: 'ASIAAAAAAAAAAAAAAAAA' }, name: 'UnrecognizedClientException' },
    { change: { sessionToken: 'another' }, name: 'UnrecognizedClientException' },
    { change: { secretAccessKey: 'another' }, name: 'InvalidSignatureException' },
  ])('refuses other credentials with $name', async ({ change, name }) => {
    const client = logs({ credentials: { ...credentials, ...change } })

    await expect(client.send(describeGroups)).rejects.toMatchObject({ name, $metadata: { httpStatusCode: 400 } })
    expect(cloud.calls).toHaveLength(0)
  })

  it('refuses another region', async () => {
    await expect(logs({ region: 'eu-west-1' }).send(describeGroups)).rejects.toMatchObject({
      name: 'InvalidSignatureException',
      message: textMatching('us-west-2'),
    })
  })

  it('refuses expired credentials at once when told to', async () => {
    const client = logs()
    await client.send(describeGroups)
    cloud.sessions.expireAll()

    await expect(client.send(describeGroups)).rejects.toMatchObject({
      name: 'ExpiredTokenException',
      $metadata: { httpStatusCode: 400 },
    })
  })

  it('refuses forgotten credentials', async () => {
    cloud.sessions.invalidateAll()

    await expect(logs().send(describeGroups)).rejects.toMatchObject({ name: 'UnrecognizedClientException' })
  })

  it('lets credentials expire by its own clock', async () => {
    await cloud.setTimeOffset(3_601_000)
    const client = logs({ systemClockOffset: 3_601_000 })

    await expect(client.send(describeGroups)).rejects.toMatchObject({ name: 'ExpiredTokenException' })
  })

  it.each([
    { offsetMs: -16 * 60_000, text: /^Signature expired: \d{8}T\d{6}Z is now earlier than / },
    { offsetMs: 16 * 60_000, text: /^Signature not yet current: \d{8}T\d{6}Z is still later than / },
  ])('refuses a clock that is off by $offsetMs ms', async ({ offsetMs, text }) => {
    const client = logs({ systemClockOffset: offsetMs })

    await expect(client.send(describeGroups)).rejects.toMatchObject({
      name: 'InvalidSignatureException',
      message: textMatching(text),
    })
  })

  it("tells the cloud's time, so that the SDK corrects a clock that is hours off", async () => {
    await cloud.setTimeOffset(-5 * 3_600_000)
    const client = logs({ maxAttempts: 2 })

    await expect(client.send(describeGroups)).resolves.toBeDefined()
    expect(cloud.requests.list({ service: 'logs' }).map(({ status }) => status)).toEqual([400, 200])
  })

  it('throttles an action above its quota', async () => {
    cloud.quotas.set('logs', 'DescribeLogGroups', 1)
    await logs().send(describeGroups)

    await expect(logs().send(describeGroups)).rejects.toMatchObject({ name: 'ThrottlingException' })
    cloud.quotas.enforce(false)
    await logs().send(describeGroups)
  })

  it('counts requests by action and by thing', async () => {
    await logs().send(describeGroups)
    await logs().send(describeGroups)

    expect(cloud.requests.count({ service: 'logs', thingName })).toBe(2)
    expect(cloud.requests.countByAction()).toEqual(
      new Map([
        ['credentials:AssumeRoleWithCertificate', 1],
        ['logs:DescribeLogGroups', 2],
      ]),
    )
  })

  it('is missed loudly: a host without a service is a 404', async () => {
    const client = logs({}, cloud.endpoints.secretsManager)

    await expect(client.send(describeGroups)).rejects.toMatchObject({ $metadata: { httpStatusCode: 404 } })
  })

  it('reports a defect of its own when the cloud is disposed of', async () => {
    const broken = await startDemoFrame()
    const identity = await broken.appliances.createAppliance({ thingName })
    const own = await getCredentials(broken, { identity })
    const client = new CloudWatchLogsClient(sdkOptions(broken, own, broken.endpoints.logs))
    clients.push(client)
    client.middlewareStack.add(
      (next) => (args) => {
        ;(args.request as { headers: Record<string, string> }).headers['x-amz-target'] = 'Logs_20140328.Crash'
        return next(args)
      },
      { step: 'build' },
    )

    await expect(client.send(describeGroups)).rejects.toMatchObject({ $metadata: { httpStatusCode: 500 } })
    await expect(broken[Symbol.asyncDispose]()).rejects.toThrow(/defect/)
  })

  describe('STS', () => {
    const target = 'chained'
    const roleArn = `arn:aws:iam::${account}:role/${target}`
    const assume = { RoleArn: roleArn, RoleSessionName: 'dock-1' }

    beforeEach(() => {
      const allow = policy({ actions: ['sts:AssumeRole'], resources: [roleArn] })
      const trust = policy({ principals: { AWS: [cloud.roles.arnOf(roleName)] }, actions: ['sts:AssumeRole'] })
      cloud.roles.put({ name: roleName, trustPolicy: trustProvider, policies: [allow] })
      cloud.roles.put({ name: target, trustPolicy: trust, policies: [], maxSessionDurationSeconds: 43_200 })
    })

    it('tells who the caller is', async () => {
      const { Arn, Account } = await sts().send(new GetCallerIdentityCommand({}))

      expect([Account, Arn]).toEqual([account, textMatching(`:assumed-role/${roleName}/`)])
    })

    it('assumes a role that trusts the caller, and drops the session variables', async () => {
      const { Credentials, AssumedRoleUser } = await sts().send(new AssumeRoleCommand(assume))

      expect(AssumedRoleUser?.Arn).toBe(`arn:aws:sts::${account}:assumed-role/${target}/dock-1`)
      await logs({ credentials: chained(Credentials) }).send(describeGroups)
      expect(cloud.calls[0]?.caller).toMatchObject({ roleArn, context: {} })
      expect(cloud.calls[0]?.caller.context).toEqual({})
    })

    it('gives a chained session an hour at most', async () => {
      const long = new AssumeRoleCommand({ ...assume, DurationSeconds: 3601 })

      await expect(sts().send(long)).rejects.toMatchObject({
        name: 'ValidationError',
        message: textMatching('exceeds the 1 hour session limit for roles assumed by role chaining'),
      })
    })

    it.each(['a', 'has:colon', 'x'.repeat(65)])('refuses the session name %j', async (RoleSessionName) => {
      const command = new AssumeRoleCommand({ ...assume, RoleSessionName })

      await expect(sts().send(command)).rejects.toMatchObject({ name: 'ValidationError' })
    })

    it('denies a role that does not trust the caller', async () => {
      cloud.roles.put({ name: target, trustPolicy: trustProvider, policies: [] })

      await expect(sts().send(new AssumeRoleCommand(assume))).rejects.toMatchObject({
        name: 'AccessDenied',
        message: textMatching(/^User: arn:.* is not authorized to perform: sts:AssumeRole on resource: /),
        $metadata: { httpStatusCode: 403 },
      })
    })

    it("denies what the caller's own policies do not allow", async () => {
      cloud.roles.put({ name: roleName, trustPolicy: trustProvider, policies: [] })

      await expect(sts().send(new AssumeRoleCommand(assume))).rejects.toMatchObject({ name: 'AccessDenied' })
    })

    it.each([
      {
        refusal: 'ExpiredToken',
        arrange: () => {
          cloud.sessions.expireAll()
        },
      },
      {
        refusal: 'InvalidClientTokenId',
        arrange: () => {
          cloud.sessions.invalidateAll()
        },
      },
    ])('answers $refusal with 403', async ({ refusal, arrange }) => {
      arrange()

      await expect(sts().send(new GetCallerIdentityCommand({}))).rejects.toMatchObject({
        name: textMatching(refusal),
        $metadata: { httpStatusCode: 403 },
      })
    })
  })

  function logs(change: object = {}, endpoint = cloud.endpoints.logs): CloudWatchLogsClient {
    const client = new CloudWatchLogsClient({ ...sdkOptions(cloud, credentials, endpoint), ...change })
    clients.push(client)
    return client
  }

  function sts(): STSClient {
    const client = new STSClient(sdkOptions(cloud, credentials, cloud.endpoints.sts))
    clients.push(client)
    return client
  }
})

function chained(
  issued:
    | { AccessKeyId?: string | undefined; SecretAccessKey?: string | undefined; SessionToken?: string | undefined }
    | undefined,
) {
  return {
    accessKeyId: issued?.AccessKeyId ?? '',
    secretAccessKey: issued?.SecretAccessKey ?? '',
    sessionToken: issued?.SessionToken ?? '',
  }
}
