import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import type { Appliance } from '../../cloud/appliances.ts'
import type { PolicyCondition, PolicyDocument } from '../../cloud/iam/policy-document.ts'
import { askCredentials, type CredentialsRequest } from './credentials-client.ts'
import {
  account,
  alias,
  allowAlias,
  policy,
  region,
  roleName,
  startDemoFrame,
  thingName,
  trustProvider,
  type DemoFrame,
} from './demo-frame.ts'
import { textMatching } from './text-matching.ts'

describe('the credentials provider', () => {
  let cloud: DemoFrame
  let appliance: Appliance

  beforeEach(async () => {
    cloud = await startDemoFrame()
    appliance = await cloud.appliances.createAppliance({ thingName })
  })

  afterEach(async () => {
    await cloud[Symbol.asyncDispose]()
  })

  const ask = (options: CredentialsRequest = {}) =>
    askCredentials(cloud, { identity: appliance, thingName, ...options })

  it('gives credentials to a registered appliance', async () => {
    const { status, body, headers } = await ask()

    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual({
      credentials: {
        accessKeyId: textMatching(/^ASIA[A-Z2-7]{16}$/),
        secretAccessKey: textMatching(/^.{40}$/),
        sessionToken: textMatching(/^.{300,}$/),
        expiration: textMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      },
    })
    expect(Buffer.byteLength(body)).toBeLessThan(2048)
    expect(headers['x-amzn-requestid']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('gives credentials without a thing name', async () => {
    const { status } = await askCredentials(cloud, { identity: appliance })

    expect(status).toBe(200)
  })

  it('lets credentials expire after the duration of the role alias', async () => {
    cloud.roleAliases.put({ name: alias, roleArn: cloud.roles.arnOf(roleName), credentialDurationSeconds: 900 })

    const { body } = await ask()

    const expiration = /"expiration":"([^"]+)"/.exec(body)?.[1] ?? ''
    expect(Math.abs(Date.parse(expiration) - cloud.now() - 900_000)).toBeLessThan(60_000)
  })

  const refusals: readonly {
    readonly when: string
    readonly arrange?: () => void | Promise<void>
    readonly request?: CredentialsRequest
    readonly status: number
    readonly message: string
    readonly errorType: string
  }[] = [
    {
      when: 'the thing is not attached to the certificate',
      arrange: () => {
        cloud.appliances.detach(thingName, appliance.certificateId)
      },
      status: 403,
      message: 'Invalid thing name passed',
      errorType: 'AccessDeniedException',
    },
    {
      when: 'the thing name is wrong',
      request: { thingName: 'panorama_dock-2' },
      status: 403,
      message: 'Invalid thing name passed',
      errorType: 'AccessDeniedException',
    },
    {
      when: 'the IoT policy allows another alias only',
      arrange: () => {
        cloud.appliances.setIotPolicy(appliance.certificateId, allowAlias('another'))
      },
      status: 403,
      message: 'Access Denied',
      errorType: 'AccessDeniedException',
    },
    {
      when: 'there is no IoT policy',
      arrange: () => {
        cloud.appliances.setIotPolicy(appliance.certificateId, undefined)
      },
      status: 403,
      message: 'Access Denied',
      errorType: 'AccessDeniedException',
    },
    {
      when: 'the certificate is inactive',
      arrange: () => {
        cloud.appliances.setCertificateStatus(appliance.certificateId, 'INACTIVE')
      },
      status: 403,
      message: 'Certificate is invalid on this endpoint',
      errorType: 'AccessDeniedException',
    },
    {
      when: 'the certificate is revoked',
      arrange: () => {
        cloud.appliances.setCertificateStatus(appliance.certificateId, 'REVOKED')
      },
      status: 403,
      message: 'Certificate is invalid on this endpoint',
      errorType: 'AccessDeniedException',
    },
    {
      when: 'the role alias does not exist',
      arrange: () => {
        cloud.roleAliases.delete(alias)
      },
      status: 404,
      message: 'Role alias does not exist',
      errorType: 'ResourceNotFoundException',
    },
    {
      when: 'the role does not exist',
      arrange: () => {
        cloud.roles.delete(roleName)
      },
      status: 400,
      message: 'Unable to assume the role, or the role to assume does not exist',
      errorType: 'InvalidRequestException',
    },
    {
      when: 'the role trusts another service',
      arrange: () => {
        putTrust(policy({ principals: { Service: ['iot.amazonaws.com'] }, actions: ['sts:AssumeRole'] }))
      },
      status: 400,
      message: 'Unable to assume the role, or the role to assume does not exist',
      errorType: 'InvalidRequestException',
    },
    {
      when: 'the trust policy demands aws:SourceAccount',
      arrange: () => {
        putTrust(trustWhere({ operator: 'StringEquals', key: 'aws:SourceAccount', values: [account] }))
      },
      status: 400,
      message: 'Unable to assume the role, or the role to assume does not exist',
      errorType: 'InvalidRequestException',
    },
    {
      when: "the alias's duration is above the role's maximum",
      arrange: () => {
        cloud.roleAliases.put({ name: alias, roleArn: cloud.roles.arnOf(roleName), credentialDurationSeconds: 3601 })
      },
      status: 400,
      message: 'The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role',
      errorType: 'InvalidRequestException',
    },
  ]

  it.each(refusals)('refuses with $status when $when', async ({ arrange, request, status, message, errorType }) => {
    await arrange?.()

    const answer = await ask(request)

    expect(answer).toMatchObject({ status, body: JSON.stringify({ message }) })
    expect(answer.headers['x-amzn-errortype']).toBe(errorType)
    expect(answer.headers['x-amzn-requestid']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('tells certificates apart by their bytes, not by their subject', async () => {
    const other = await cloud.appliances.createAppliance({ thingName: 'panorama_dock-2' })

    const { status, body } = await ask({ identity: other })

    expect([status, body]).toEqual([403, '{"message":"Invalid thing name passed"}'])
  })

  it('refuses a certificate of another account, and a connection without one', async () => {
    await using elsewhere = await startDemoFrame()
    const stranger = await elsewhere.appliances.createAppliance({ thingName })

    expect(await ask({ identity: stranger })).toMatchObject({ status: 403 })
    expect(await askCredentials(cloud, { thingName })).toMatchObject({
      status: 403,
      body: '{"message":"Certificate is invalid on this endpoint"}',
    })
  })

  it('answers any other path as the data endpoint does', async () => {
    const { status, body } = await ask({ path: '/things/a/shadow' })

    expect(status).toBe(404)
    expect(JSON.parse(body)).toEqual({ message: 'Not Found', traceId: textMatching(/./) })
  })

  it('drops a connection whose handshake names no server', async () => {
    await expect(ask({ servername: '' })).rejects.toThrow(/hang up|ECONNRESET|disconnected/)
  })

  it.each([
    { source: 'role-alias', arn: `arn:aws:iot:${region}:${account}:rolealias/${alias}` },
    { source: 'thing', arn: `arn:aws:iot:${region}:${account}:thing/${thingName}` },
  ] as const)('fills aws:SourceArn with the $source on request', async ({ source, arn }) => {
    putTrust(trustWhere({ operator: 'StringEquals', key: 'aws:SourceArn', values: [arn] }))
    cloud.setTrustSource(source)

    expect(await ask()).toMatchObject({ status: 200 })
  })

  it('throttles above 100 requests a second', async () => {
    cloud.quotas.scale(0.01)

    const statuses = [await ask(), await ask()].map(({ status }) => status)

    expect(statuses).toEqual([200, 429])
  })

  it('sees a new alias only after its delay', async () => {
    const roleArn = cloud.roles.arnOf(roleName)
    cloud.appliances.setIotPolicy(appliance.certificateId, allowAlias('late'))
    cloud.roleAliases.put({ name: 'late', roleArn }, { visibleAfterMs: 60_000 })

    const before = await ask({ alias: 'late' })
    await cloud.setTimeOffset(61_000)
    const after = await ask({ alias: 'late' })

    expect([before.status, after.status]).toEqual([404, 200])
  })

  it('lets a replaced IoT policy stay in force until its delay is over', async () => {
    cloud.appliances.setIotPolicy(appliance.certificateId, undefined, { visibleAfterMs: 300_000 })

    const before = await ask()
    await cloud.setTimeOffset(301_000)
    const after = await ask()

    expect([before.status, after.status]).toEqual([200, 403])
  })

  it('records every request with its thing', async () => {
    await ask()
    await ask({ thingName: 'nobody' })

    expect(
      cloud.requests.list().map(({ service, action, status, thingName: thing }) => [service, action, status, thing]),
    ).toEqual([
      ['credentials', 'AssumeRoleWithCertificate', 200, thingName],
      ['credentials', 'AssumeRoleWithCertificate', 403, 'nobody'],
    ])
  })

  function putTrust(trustPolicy: PolicyDocument): void {
    cloud.roles.put({ name: roleName, trustPolicy, policies: [] })
  }
})

function trustWhere(condition: PolicyCondition): PolicyDocument {
  const [statement] = trustProvider.statements
  if (statement === undefined) throw new Error('the trust policy has a statement')
  return { ...trustProvider, statements: [{ ...statement, conditions: [condition] }] }
}
