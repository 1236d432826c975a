import { describe, expect, it } from 'vitest'

import { conditionHolds } from '../../../cloud/iam/policy-conditions.ts'
import { account, decide } from './request.ts'

type Condition = Readonly<Record<string, Readonly<Record<string, unknown>>>>

function holds(condition: Condition, context: Readonly<Record<string, string>> = {}): boolean {
  return decide([{ Condition: condition }], { context }) === 'allowed'
}

// "IAM JSON policy elements: Condition" and "Condition operators", IAM User Guide
describe('condition blocks', () => {
  it('is satisfied by any one of the values of a key', () => {
    const condition = { StringEquals: { 'aws:PrincipalTag/team': ['blue', 'green'] } }
    expect(holds(condition, { 'aws:PrincipalTag/team': 'green' })).toBe(true)
    expect(holds(condition, { 'aws:PrincipalTag/team': 'red' })).toBe(false)
  })

  it('needs every key and every operator', () => {
    const condition = { StringEquals: { 'a:one': '1', 'a:two': '2' }, StringLike: { 'a:three': '3*' } }
    const context = { 'a:one': '1', 'a:two': '2', 'a:three': '33' }
    expect(holds(condition, context)).toBe(true)
    for (const key of Object.keys(context)) expect(holds(condition, { ...context, [key]: 'other' })).toBe(false)
  })

  it('compares names of keys without regard to case', () => {
    expect(holds({ StringEquals: { 'AWS:SourceAccount': '1' } }, { 'aws:sourceaccount': '1' })).toBe(true)
  })

  it.each(['StringEquals', 'StringLike', 'StringEqualsIgnoreCase', 'ArnLike', 'ArnEquals', 'Bool'])(
    'does not hold by %s when the key is missing',
    (operator) => {
      expect(holds({ [operator]: { 'a:key': operator === 'Bool' ? 'true' : '*' } })).toBe(false)
    },
  )

  it.each(['StringNotEquals', 'StringNotLike', 'StringNotEqualsIgnoreCase', 'ArnNotLike', 'ArnNotEquals'])(
    'holds by %s when the key is missing',
    (operator) => {
      expect(holds({ [operator]: { 'a:key': 'value' } })).toBe(true)
    },
  )

  it('throws on an operator that it does not know', () => {
    expect(() => conditionHolds({ operator: 'DateLessThan', key: 'a:key', values: ['1'] }, () => '1')).toThrow(
      '"DateLessThan" is not known',
    )
  })
})

describe('string operators', () => {
  it('compares values with regard to case, and whole', () => {
    expect(holds({ StringEquals: { 'a:key': 'Value' } }, { 'a:key': 'Value' })).toBe(true)
    expect(holds({ StringEquals: { 'a:key': 'Value' } }, { 'a:key': 'value' })).toBe(false)
    expect(holds({ StringEquals: { 'a:key': 'Value' } }, { 'a:key': 'Values' })).toBe(false)
    expect(holds({ StringEqualsIgnoreCase: { 'a:key': 'Value' } }, { 'a:key': 'vALUE' })).toBe(true)
  })

  it('knows wildcards in StringLike only', () => {
    expect(holds({ StringLike: { 'a:key': 'v?l*' } }, { 'a:key': 'value' })).toBe(true)
    expect(holds({ StringLike: { 'a:key': 'v?l' } }, { 'a:key': 'value' })).toBe(false)
    expect(holds({ StringEquals: { 'a:key': 'v*' } }, { 'a:key': 'value' })).toBe(false)
    expect(holds({ StringEquals: { 'a:key': 'v*' } }, { 'a:key': 'v*' })).toBe(true)
  })

  it('holds by a negated operator when none of the values matches', () => {
    const condition = { StringNotEquals: { 'a:key': ['one', 'two'] } }
    expect(holds(condition, { 'a:key': 'three' })).toBe(true)
    expect(holds(condition, { 'a:key': 'two' })).toBe(false)
    expect(holds({ StringNotLike: { 'a:key': 't*' } }, { 'a:key': 'two' })).toBe(false)
  })
})

describe('ARN operators', () => {
  const accessPoint = `arn:aws:s3:us-west-2:${account}:accesspoint/panorama-1`

  it.each(['ArnLike', 'ArnEquals'])('matches component by component by %s', (operator) => {
    const matches = (pattern: string, arn = accessPoint): boolean =>
      holds({ [operator]: { 'a:arn': pattern } }, { 'a:arn': arn })
    expect(matches('arn:aws:s3:*:*:accesspoint/panorama*')).toBe(true)
    expect(matches('arn:aws:s3:us-west-?:*:accesspoint/*')).toBe(true)
    expect(matches('arn:aws:s3:*:*:accesspoint/other*')).toBe(false)
    expect(matches('arn:aws:s3:*:accesspoint/panorama-1')).toBe(false)
    expect(matches('arn:aws:s3:*')).toBe(false)
    expect(matches('*')).toBe(false)
  })

  it('does not let a wildcard reach into the next component', () => {
    const condition = { ArnLike: { 'a:arn': 'arn:aws:sns:*:1:topic' } }
    expect(holds(condition, { 'a:arn': 'arn:aws:sns:us-west-2:1:topic' })).toBe(true)
    expect(holds(condition, { 'a:arn': 'arn:aws:sns:us-west-2:2:1:topic' })).toBe(false)
  })

  it('lets the last component hold colons', () => {
    const condition = { ArnLike: { 'a:arn': 'arn:aws:logs:*:*:log-group:/aws/*' } }
    expect(holds(condition, { 'a:arn': 'arn:aws:logs:r:1:log-group:/aws/x:log-stream:y' })).toBe(true)
  })

  it('matches no value that is no ARN', () => {
    expect(holds({ ArnLike: { 'a:arn': 'arn:*:*:*:*:*' } }, { 'a:arn': 'arn:aws:s3' })).toBe(false)
    expect(holds({ ArnLike: { 'a:arn': '*:*:*:*:*:*' } }, { 'a:arn': 'panorama' })).toBe(false)
  })
})

describe('IfExists, Null and Bool', () => {
  it('passes over a missing key by IfExists, and compares one that is there', () => {
    const condition = { StringEqualsIfExists: { 'a:key': 'one' } }
    expect(holds(condition)).toBe(true)
    expect(holds(condition, { 'a:key': 'one' })).toBe(true)
    expect(holds(condition, { 'a:key': 'two' })).toBe(false)
    expect(holds({ ArnLikeIfExists: { 'a:arn': 'arn:aws:s3:::x' } })).toBe(true)
  })

  it('asks by Null whether a key is missing', () => {
    expect(holds({ Null: { 'a:key': 'true' } })).toBe(true)
    expect(holds({ Null: { 'a:key': 'true' } }, { 'a:key': '' })).toBe(false)
    expect(holds({ Null: { 'a:key': false } }, { 'a:key': '1' })).toBe(true)
    expect(holds({ Null: { 'a:key': false } })).toBe(false)
  })

  it('compares by Bool', () => {
    expect(holds({ Bool: { 'aws:SecureTransport': true } }, { 'aws:SecureTransport': 'true' })).toBe(true)
    expect(holds({ Bool: { 'aws:SecureTransport': 'true' } }, { 'aws:SecureTransport': 'false' })).toBe(false)
  })
})
