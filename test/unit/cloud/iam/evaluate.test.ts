import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { evaluatePolicies } from '../../../cloud/iam/evaluate.ts'
import { parsePolicy } from '../../../cloud/iam/parse-policy.ts'
import { accessRequest, account, decide } from './request.ts'

// "Policy evaluation logic", IAM User Guide
describe('evaluation logic', () => {
  it('denies implicitly what no statement allows', () => {
    expect(evaluatePolicies([], accessRequest())).toBe('implicit-deny')
    expect(decide([{ Action: 's3:PutObject' }])).toBe('implicit-deny')
    expect(decide([{ Resource: 'arn:aws:s3:::other/*' }])).toBe('implicit-deny')
  })

  it('allows what a statement of any policy allows', () => {
    const policies = [{ Action: 's3:PutObject' }, { Action: 's3:GetObject' }].map((fields) =>
      parsePolicy({ Version: '2012-10-17', Statement: { Effect: 'Allow', Resource: '*', ...fields } }),
    )
    expect(evaluatePolicies(policies, accessRequest())).toBe('allowed')
  })

  it('lets a deny win over an allow, in whatever order they stand', () => {
    const allow = { Action: 's3:*' }
    const deny = { Effect: 'Deny', Action: 's3:GetObject' }
    expect(decide([allow, deny])).toBe('explicit-deny')
    expect(decide([deny, allow])).toBe('explicit-deny')
    expect(decide([allow, { ...deny, Action: 's3:PutObject' }])).toBe('allowed')
  })

  it('needs action, resource and condition of the same statement', () => {
    const statements = [
      { Action: 's3:GetObject', Resource: 'arn:aws:s3:::other/*' },
      { Action: 's3:PutObject', Resource: 'arn:aws:s3:::bucket/*' },
    ]
    expect(decide(statements)).toBe('implicit-deny')
  })
})

// "IAM JSON policy elements: Action" and "... Resource"
describe('actions and resources', () => {
  it.each(['s3:GetObject', 'S3:getobject', 's3:Get*', 's3:*', '*', 's3:?etObject'])('allows by action %s', (Action) => {
    expect(decide([{ Action }])).toBe('allowed')
  })

  it.each(['s3:Get', 's3:GetObjectVersion', 's3:GetObject?', 'logs:*'])('does not allow by action %s', (Action) => {
    expect(decide([{ Action }])).toBe('implicit-deny')
  })

  it.each(['*', 'arn:aws:s3:::bucket/*', 'arn:aws:s3:::b*t/key', 'arn:aws:s3:::bucket/k?y', 'arn:aws:s3:::*'])(
    'allows by resource %s',
    (Resource) => {
      expect(decide([{ Resource }])).toBe('allowed')
    },
  )

  it.each(['arn:aws:s3:::bucket', 'arn:aws:s3:::Bucket/key', 'arn:aws:s3:::bucket/key?', 'arn:aws:s3:::bucket/*/x'])(
    'does not allow by resource %s',
    (Resource) => {
      expect(decide([{ Resource }])).toBe('implicit-deny')
    },
  )

  it('lets a wildcard at the end of a segment reach over slashes and colons', () => {
    const Resource = 'arn:aws:logs:*:*:log-group:/aws/panorama/devices/*'
    const resource = `arn:aws:logs:us-west-2:${account}:log-group:/aws/panorama/devices/a/b:log-stream:occ_log`
    expect(decide([{ Resource }], { resource })).toBe('allowed')
  })
})

// "IAM policy elements: Variables and tags"
describe('policy variables', () => {
  const Resource = 'arn:aws:s3:::bucket/${credentials-iot:ThingName}/*'
  const resource = 'arn:aws:s3:::bucket/dock-1/key'

  it('fills in the value that the request carries, whatever the case of its name', () => {
    expect(decide([{ Resource }], { resource, context: { 'credentials-iot:ThingName': 'dock-1' } })).toBe('allowed')
    expect(decide([{ Resource }], { resource, context: { 'Credentials-IoT:thingname': 'dock-1' } })).toBe('allowed')
    expect(decide([{ Resource }], { resource, context: { 'credentials-iot:ThingName': 'dock-2' } })).toBe(
      'implicit-deny',
    )
  })

  it('matches nothing when the variable has no value, not even the text of the variable itself', () => {
    expect(decide([{ Resource }], { resource })).toBe('implicit-deny')
    expect(decide([{ Resource }], { resource: 'arn:aws:s3:::bucket/${credentials-iot:ThingName}/key' })).toBe(
      'implicit-deny',
    )
    expect(decide([{ Resource }], { resource: 'arn:aws:s3:::bucket//key' })).toBe('implicit-deny')
  })

  it('takes a wildcard inside a value for a plain character', () => {
    expect(decide([{ Resource }], { resource, context: { 'credentials-iot:ThingName': '*' } })).toBe('implicit-deny')
    expect(decide([{ Resource }], { resource, context: { 'credentials-iot:ThingName': 'dock-?' } })).toBe(
      'implicit-deny',
    )
  })

  it('takes an escaped wildcard for a plain character', () => {
    const escaped = { Resource: 'arn:aws:s3:::bucket/${*}${?}${$}' }
    expect(decide([escaped], { resource: 'arn:aws:s3:::bucket/*?$' })).toBe('allowed')
    expect(decide([escaped], { resource: 'arn:aws:s3:::bucket/abc' })).toBe('implicit-deny')
  })

  it('fills in condition values, and matches none whose variable has no value', () => {
    const Condition = { StringEquals: { 's3:prefix': ['${aws:username}', 'shared'] } }
    const context = { 's3:prefix': 'ada' }
    expect(decide([{ Condition }], { context: { ...context, 'aws:username': 'ada' } })).toBe('allowed')
    expect(decide([{ Condition }], { context })).toBe('implicit-deny')
    expect(decide([{ Condition }], { context: { 's3:prefix': 'shared' } })).toBe('allowed')
  })
})

// "AWS JSON policy elements: Principal"
describe('principals', () => {
  const service = { principal: { kind: 'Service', service: 'credentials.iot.amazonaws.com' } } as const

  it.each([
    account,
    `arn:aws:iam::${account}:root`,
    `arn:aws:iam::${account}:role/appliance`,
    `arn:aws:iam::${account}:role/service-role/appliance`,
    `arn:aws:sts::${account}:assumed-role/appliance/session`,
    '*',
  ])('names a role session by %s', (AWS) => {
    expect(decide([{ Principal: { AWS } }])).toBe('allowed')
  })

  it.each([
    '999999999999',
    'arn:aws:iam::999999999999:root',
    'arn:aws:iam::999999999999:role/appliance',
    `arn:aws-cn:iam::${account}:root`,
    `arn:aws:iam::${account}:role/Appliance`,
    `arn:aws:iam::${account}:role/appliance/other`,
    `arn:aws:iam::${account}:user/appliance`,
    `arn:aws:sts::${account}:assumed-role/appliance/other`,
  ])('does not name a role session by %s', (AWS) => {
    expect(decide([{ Principal: { AWS } }])).toBe('implicit-deny')
  })

  it('names a service by its own name only', () => {
    expect(decide([{ Principal: { Service: 'credentials.iot.amazonaws.com' } }], service)).toBe('allowed')
    expect(decide([{ Principal: { Service: 'iot.amazonaws.com' } }], service)).toBe('implicit-deny')
    expect(decide([{ Principal: { AWS: account } }], service)).toBe('implicit-deny')
    expect(decide([{ Principal: { Service: 'credentials.iot.amazonaws.com' } }])).toBe('implicit-deny')
  })

  it('covers services by a bare * only to deny', () => {
    const named = { Principal: { Service: 'credentials.iot.amazonaws.com' } }
    expect(decide([{ Principal: '*' }], service)).toBe('implicit-deny')
    expect(decide([named, { Principal: '*', Effect: 'Deny' }], service)).toBe('explicit-deny')
  })
})

describe('properties', () => {
  const statement = fc.record({
    Effect: fc.constantFrom('Allow', 'Deny'),
    Action: fc.constantFrom('s3:GetObject', 's3:Get*', 'logs:*', '*'),
    Resource: fc.constantFrom('*', 'arn:aws:s3:::bucket/*', 'arn:aws:s3:::${aws:username}/*'),
    Condition: fc.constantFrom(
      {},
      { StringLike: { 'a:b': 'x*' } },
      { StringNotEquals: { 'a:b': 'x1' } },
      { Null: { 'a:b': 'true' } },
    ),
  })
  const statements = fc.array(statement, { minLength: 1, maxLength: 5 })
  const context = fc.dictionary(fc.constantFrom('a:b', 'aws:username'), fc.constantFrom('x1', 'x2', 'bucket'))

  it('never allows more when a deny is added', () => {
    fc.assert(
      fc.property(statements, statement, context, (before, added, values) => {
        const after = decide([...before, { ...added, Effect: 'Deny' }], { context: values })
        expect(after === 'allowed' && decide(before, { context: values }) !== 'allowed').toBe(false)
      }),
    )
  })

  it('never takes away an allowance when an allow is added', () => {
    fc.assert(
      fc.property(statements, statement, context, (before, added, values) => {
        const after = decide([...before, { ...added, Effect: 'Allow' }], { context: values })
        expect(decide(before, { context: values }) === 'allowed' && after !== 'allowed').toBe(false)
      }),
    )
  })

  it('decides the same in whatever order the statements stand', () => {
    fc.assert(
      fc.property(statements, context, (list, values) => {
        expect(decide(list.toReversed(), { context: values })).toBe(decide(list, { context: values }))
      }),
    )
  })
})
