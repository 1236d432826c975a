import { readdir } from 'node:fs/promises'

import { describe, expect, it } from 'vitest'

import { type CloudPolicies, loadCloudPolicies, readTemplate } from '../../../cloud/iam/cloud-policies.ts'
import { type AccessDecision, evaluatePolicies, type AccessRequest } from '../../../cloud/iam/evaluate.ts'
import { parsePolicy } from '../../../cloud/iam/parse-policy.ts'

const account = '123456789012'
const region = 'us-west-2'
const variables = {
  Account: account,
  Region: region,
  RoleName: 'AWSPanoramaApplianceServiceRole',
  RoleAlias: 'panorama-appliance',
  BaseRoleName: 'panorama-base',
  ChainedRoleName: 'panorama-dock-1',
  BucketName: 'artifacts',
  AccessPointName: 'panorama-123456789012-demo',
  ApplicationName: 'people-counter',
  ApplicationRoleAlias: 'people-counter-role',
  ResultsBucketName: 'results',
  ProvisioningTemplate: 'panorama-appliance',
}
const optional = {
  KmsKeyArn: `arn:aws:kms:${region}:${account}:key/1234abcd`,
  ApplianceArn: `arn:aws:iot:${region}:${account}:thing/dock-1`,
}
const thing = { 'credentials-iot:ThingName': 'panorama_dock-1' }
const accessPointArn = `arn:aws:s3:${region}:${account}:accesspoint/${variables.AccessPointName}`
const object = `${accessPointArn}/object/people-counter/model.bin`
const throughAccessPoint = { 's3:DataAccessPointArn': accessPointArn, 's3:DataAccessPointAccount': account }
const credentialsService = { kind: 'Service', service: 'credentials.iot.amazonaws.com' } as const

function session(role: string): AccessRequest['principal'] {
  return { kind: 'AWS', arn: `arn:aws:sts::${account}:assumed-role/${role}/session`, account }
}

interface Question {
  readonly action: string
  readonly resource: string
  readonly context?: Readonly<Record<string, string>>
  readonly principal?: AccessRequest['principal']
}

async function ask(
  part: (policies: CloudPolicies) => CloudPolicies[keyof CloudPolicies],
  { context = {}, principal = session(variables.RoleName), ...question }: Question,
): Promise<AccessDecision> {
  const documents = part(await loadCloudPolicies(variables))
  return evaluatePolicies('statements' in documents ? [documents] : documents, { principal, context, ...question })
}

describe('every file of config/cloud', () => {
  it('is a policy that the evaluator knows whole, and small enough for its place', async () => {
    const folder = new URL('../../../../config/cloud/', import.meta.url)
    const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('-policy.json'))
    const variants = ['trust-policy-variants/account', 'trust-policy-variants/appliance']
    const names = [...files.map((file) => file.slice(0, -'.json'.length)), ...variants]
    expect(names).toHaveLength(21)
    for (const name of names) {
      const json = await readTemplate(name, { ...variables, ...optional })
      expect(parsePolicy(json).statements.length, name).toBeGreaterThan(0)
      // "IAM and AWS STS quotas": a trust policy holds 2,048 characters by default, the smallest of the limits.
      expect(JSON.stringify(json).length, name).toBeLessThanOrEqual(2048)
    }
  })

  it('is refused with the names of file and variable when a template variable has no value', async () => {
    const others = Object.entries(variables).filter(([name]) => name !== 'BucketName')
    await expect(loadCloudPolicies(Object.fromEntries(others))).rejects.toThrow(
      'config/cloud/bucket-policy.json: the variable BucketName',
    )
  })

  it('keeps the policy variables of AWS', async () => {
    const { applianceRolePolicies } = await loadCloudPolicies(variables)
    expect(JSON.stringify(applianceRolePolicies)).toContain('secret:panorama/${credentials-iot:ThingName}/*')
  })

  it('makes a role alias that lends credentials of the appliance role for an hour', async () => {
    expect(await readTemplate('role-alias', variables)).toEqual({
      roleAlias: 'panorama-appliance',
      roleArn: `arn:aws:iam::${account}:role/AWSPanoramaApplianceServiceRole`,
      credentialDurationSeconds: 3600,
    })
  })
})

describe('the appliance role', () => {
  const role = ({ applianceRolePolicies }: CloudPolicies): CloudPolicies['applianceRolePolicies'] =>
    applianceRolePolicies
  const group = `arn:aws:logs:${region}:${account}:log-group:/aws/panorama/devices/device-1`
  const secret = `arn:aws:secretsmanager:${region}:${account}:secret:`

  it.each<Question>([
    { action: 'logs:CreateLogGroup', resource: group },
    { action: 'logs:CreateLogStream', resource: `${group}:log-stream:` },
    { action: 'logs:DescribeLogStreams', resource: `${group}:log-stream:` },
    { action: 'logs:PutLogEvents', resource: `${group}/applications/a1:log-stream:console_output` },
    { action: 'cloudwatch:PutMetricData', resource: '*', context: { 'cloudwatch:namespace': 'PanoramaDeviceMetrics' } },
    { action: 's3:GetObject', resource: object, context: throughAccessPoint },
    { action: 's3:GetObjectVersion', resource: object, context: throughAccessPoint },
    { action: 's3:ListBucket', resource: accessPointArn, context: throughAccessPoint },
    { action: 'secretsmanager:BatchGetSecretValue', resource: '*', context: thing },
    {
      action: 'secretsmanager:GetSecretValue',
      resource: `${secret}panorama/panorama_dock-1/cam-AbCdEf`,
      context: thing,
    },
    { action: 'secretsmanager:GetSecretValue', resource: `${secret}panorama/shared/cam-AbCdEf`, context: thing },
    { action: 'secretsmanager:GetSecretValue', resource: `${secret}panorama/shared/cam-AbCdEf` },
  ])('may $action on $resource', async (question) => {
    expect(await ask(role, question)).toBe('allowed')
  })

  it.each<Question>([
    { action: 'logs:PutRetentionPolicy', resource: group },
    { action: 'logs:DeleteLogGroup', resource: group },
    { action: 'logs:GetLogEvents', resource: `${group}:log-stream:occ_log` },
    { action: 'logs:PutLogEvents', resource: `arn:aws:logs:${region}:${account}:log-group:/aws/lambda/f:log-stream:s` },
    { action: 'cloudwatch:PutMetricData', resource: '*', context: { 'cloudwatch:namespace': 'Other' } },
    { action: 'cloudwatch:PutMetricData', resource: '*' },
    { action: 's3:PutObject', resource: object, context: throughAccessPoint },
    { action: 's3:GetObject', resource: 'arn:aws:s3:::artifacts/people-counter/model.bin' },
    { action: 's3:GetObject', resource: object },
    {
      action: 's3:GetObject',
      resource: object,
      context: { 's3:DataAccessPointArn': `arn:aws:s3:${region}:${account}:accesspoint/other` },
    },
    {
      action: 'secretsmanager:GetSecretValue',
      resource: `${secret}panorama/panorama_dock-2/cam-AbCdEf`,
      context: thing,
    },
    { action: 'secretsmanager:GetSecretValue', resource: `${secret}panorama/panorama_dock-1/cam-AbCdEf` },
    {
      action: 'secretsmanager:GetSecretValue',
      resource: `${secret}panorama/panorama_dock-10/cam-AbCdEf`,
      context: thing,
    },
    { action: 'secretsmanager:GetSecretValue', resource: `${secret}panorama-cam-AbCdEf`, context: thing },
    { action: 'secretsmanager:PutSecretValue', resource: `${secret}panorama/shared/cam-AbCdEf`, context: thing },
    { action: 'secretsmanager:ListSecrets', resource: '*', context: thing },
    { action: 'kms:Decrypt', resource: optional.KmsKeyArn, context: thing },
    { action: 'sts:AssumeRole', resource: `arn:aws:iam::${account}:role/Admin`, context: thing },
  ])('may not $action on $resource', async (question) => {
    expect(await ask(role, question)).toBe('implicit-deny')
  })

  it('may decrypt under the one customer managed key that it is given', async () => {
    const { applianceRolePolicies } = await loadCloudPolicies({ ...variables, KmsKeyArn: optional.KmsKeyArn })
    const decrypt = (resource: string): AccessDecision =>
      evaluatePolicies(applianceRolePolicies, { principal: session('a'), action: 'kms:Decrypt', resource, context: {} })
    expect(decrypt(optional.KmsKeyArn)).toBe('allowed')
    expect(decrypt(`${optional.KmsKeyArn}-2`)).toBe('implicit-deny')
  })

  it('has the permissions of AWSPanoramaApplianceServiceRolePolicy, version 5, and no other', async () => {
    expect(await readTemplate('appliance-role-policy', {})).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'PanoramaDeviceCreateLogStream',
          Effect: 'Allow',
          Action: ['logs:CreateLogStream', 'logs:DescribeLogStreams', 'logs:PutLogEvents'],
          Resource: [
            'arn:aws:logs:*:*:log-group:/aws/panorama_device*:log-stream:*',
            'arn:aws:logs:*:*:log-group:/aws/panorama/devices/*',
          ],
        },
        {
          Sid: 'PanoramaDeviceCreateLogGroup',
          Effect: 'Allow',
          Action: 'logs:CreateLogGroup',
          Resource: [
            'arn:aws:logs:*:*:log-group:/aws/panorama_device*',
            'arn:aws:logs:*:*:log-group:/aws/panorama/devices/*',
          ],
        },
        {
          Sid: 'PanoramaDevicePutMetric',
          Effect: 'Allow',
          Action: 'cloudwatch:PutMetricData',
          Resource: '*',
          Condition: { StringEquals: { 'cloudwatch:namespace': 'PanoramaDeviceMetrics' } },
        },
        {
          Sid: 'PanoramaDeviceS3Access',
          Effect: 'Allow',
          Action: ['s3:GetObject', 's3:ListBucket', 's3:GetObjectVersion'],
          Resource: [
            'arn:aws:s3:::*-nodepackage-store-*',
            'arn:aws:s3:::*-application-payload-store-*',
            'arn:aws:s3:*:*:accesspoint/panorama*',
          ],
          Condition: { ArnLike: { 's3:DataAccessPointArn': 'arn:aws:s3:*:*:accesspoint/panorama*' } },
        },
      ],
    })
  })
})

describe('trust policies', () => {
  const assume = {
    action: 'sts:AssumeRole',
    resource: `arn:aws:iam::${account}:role/any`,
    principal: credentialsService,
  }

  it('let the credentials provider of AWS IoT assume the appliance role and the base role, and nobody else', async () => {
    expect(await ask((policies) => policies.applianceRoleTrust, assume)).toBe('allowed')
    expect(await ask((policies) => policies.baseRoleTrust, assume)).toBe('allowed')
    const others = [session('other'), { kind: 'Service', service: 'panorama.amazonaws.com' } as const]
    for (const principal of others) {
      expect(await ask((policies) => policies.applianceRoleTrust, { ...assume, principal })).toBe('implicit-deny')
    }
  })

  it('let only the base role assume the chained role', async () => {
    const asked = async (principal: AccessRequest['principal']): Promise<AccessDecision> =>
      await ask((policies) => policies.chainedRoleTrust, { ...assume, principal })
    expect(await asked(session('panorama-base'))).toBe('allowed')
    expect(await asked(session('panorama-dock-1'))).toBe('implicit-deny')
    expect(await asked(credentialsService)).toBe('implicit-deny')
  })

  it('come in variants that refuse everyone while the service does not send the keys', async () => {
    const decision = async (variant: string, context: Readonly<Record<string, string>>): Promise<AccessDecision> => {
      const json = await readTemplate(`trust-policy-variants/${variant}`, { ...variables, ...optional })
      return evaluatePolicies([parsePolicy(json)], { ...assume, context })
    }
    const sent = { 'aws:SourceAccount': account, 'aws:SourceArn': optional.ApplianceArn }
    expect(await decision('account', {})).toBe('implicit-deny')
    expect(await decision('account', { 'aws:SourceAccount': account })).toBe('allowed')
    expect(await decision('appliance', { 'aws:SourceAccount': account })).toBe('implicit-deny')
    expect(await decision('appliance', sent)).toBe('allowed')
    expect(await decision('appliance', { ...sent, 'aws:SourceArn': `${optional.ApplianceArn}2` })).toBe('implicit-deny')
  })
})

describe('role chaining', () => {
  it('lets the base role assume the one role and do nothing else', async () => {
    const asked = async (action: string, resource: string): Promise<AccessDecision> =>
      await ask((policies) => policies.baseRolePolicies, { action, resource })
    expect(await asked('sts:AssumeRole', `arn:aws:iam::${account}:role/panorama-dock-1`)).toBe('allowed')
    expect(await asked('sts:AssumeRole', `arn:aws:iam::${account}:role/panorama-dock-2`)).toBe('implicit-deny')
    expect(await asked('s3:GetObject', object)).toBe('implicit-deny')
  })
})

describe('the IoT policy', () => {
  it('lets a certificate use the one role alias and do nothing else', async () => {
    const asked = async (action: string, alias: string): Promise<AccessDecision> =>
      await ask((policies) => policies.iotDevicePolicy, {
        action,
        resource: `arn:aws:iot:${region}:${account}:rolealias/${alias}`,
      })
    expect(await asked('iot:AssumeRoleWithCertificate', 'panorama-appliance')).toBe('allowed')
    expect(await asked('iot:AssumeRoleWithCertificate', 'panorama-appliance-2')).toBe('implicit-deny')
    expect(await asked('iot:DescribeRoleAlias', 'panorama-appliance')).toBe('implicit-deny')
  })
})

describe('the policies of an application', () => {
  it('let a certificate use the role alias of the application beside that of the appliance', async () => {
    const asked = async (alias: string): Promise<AccessDecision> =>
      await ask((policies) => policies.iotApplicationPolicy, {
        action: 'iot:AssumeRoleWithCertificate',
        resource: `arn:aws:iot:${region}:${account}:rolealias/${alias}`,
      })
    expect(await asked('people-counter-role')).toBe('allowed')
    expect(await asked('panorama-appliance')).toBe('implicit-deny')
    expect(await asked('people-counter-role-2')).toBe('implicit-deny')
  })

  it('let it write below its own name and that of the thing, and nothing else', async () => {
    const asked = async (action: string, path: string): Promise<AccessDecision> =>
      await ask((policies) => policies.applicationRolePolicy, {
        action,
        resource: `arn:aws:s3:::results/${path}`,
        context: thing,
      })
    expect(await asked('s3:PutObject', 'people-counter/panorama_dock-1/day.json')).toBe('allowed')
    expect(await asked('s3:PutObject', 'people-counter/panorama_dock-2/day.json')).toBe('implicit-deny')
    expect(await asked('s3:PutObject', 'gate/panorama_dock-1/day.json')).toBe('implicit-deny')
    expect(await asked('s3:GetObject', 'people-counter/panorama_dock-1/day.json')).toBe('implicit-deny')
  })
})

describe('the access point and its bucket', () => {
  it('let the appliance role read and list through the access point', async () => {
    const context = throughAccessPoint
    for (const action of ['s3:GetObject', 's3:GetObjectVersion']) {
      expect(await ask((policies) => policies.accessPointPolicy, { action, resource: object, context })).toBe('allowed')
      const resource = 'arn:aws:s3:::artifacts/people-counter/model.bin'
      expect(await ask((policies) => policies.bucketPolicy, { action, resource, context })).toBe('allowed')
    }
    const list = { action: 's3:ListBucket', context }
    expect(await ask((policies) => policies.accessPointPolicy, { ...list, resource: accessPointArn })).toBe('allowed')
    expect(await ask((policies) => policies.bucketPolicy, { ...list, resource: 'arn:aws:s3:::artifacts' })).toBe(
      'allowed',
    )
  })

  it('refuse other roles at the access point, writing at both, and everyone directly at the bucket', async () => {
    const context = throughAccessPoint
    const resource = 'arn:aws:s3:::artifacts/people-counter/model.bin'
    const other = { action: 's3:GetObject', resource: object, context, principal: session('other') }
    expect(await ask((policies) => policies.accessPointPolicy, other)).toBe('implicit-deny')
    const noObject = { action: 's3:GetObject', resource: `${accessPointArn}/people-counter/model.bin`, context }
    expect(await ask((policies) => policies.accessPointPolicy, noObject)).toBe('implicit-deny')
    const put = { action: 's3:PutObject', context }
    expect(await ask((policies) => policies.accessPointPolicy, { ...put, resource: object })).toBe('implicit-deny')
    expect(await ask((policies) => policies.bucketPolicy, { ...put, resource })).toBe('implicit-deny')
    expect(await ask((policies) => policies.bucketPolicy, { action: 's3:GetObject', resource })).toBe('implicit-deny')
    const foreign = { 's3:DataAccessPointAccount': '999999999999' }
    expect(await ask((policies) => policies.bucketPolicy, { action: 's3:GetObject', resource, context: foreign })).toBe(
      'implicit-deny',
    )
  })
})
