import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parsePolicy, PolicyError } from '../../../cloud/iam/parse-policy.ts'

const allow = { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }

function parseStatement(fields: Readonly<Record<string, unknown>>): ReturnType<typeof parsePolicy> {
  return parsePolicy({ Version: '2012-10-17', Statement: [{ ...allow, ...fields }] })
}

describe('parsePolicy', () => {
  it('makes a list of every one-or-many and a text of every condition value', () => {
    expect(
      parsePolicy({
        Version: '2012-10-17',
        Id: 'id',
        Statement: {
          ...allow,
          Sid: 'Read',
          Principal: { AWS: '123456789012', Service: ['s3.amazonaws.com'] },
          Condition: { Null: { 'a:one': false }, StringLike: { 'a:two': ['x', 3] } },
        },
      }),
    ).toEqual({
      version: '2012-10-17',
      statements: [
        {
          sid: 'Read',
          effect: 'Allow',
          principals: { AWS: ['123456789012'], Service: ['s3.amazonaws.com'] },
          actions: ['s3:GetObject'],
          resources: ['*'],
          conditions: [
            { operator: 'Null', key: 'a:one', values: ['false'] },
            { operator: 'StringLike', key: 'a:two', values: ['x', '3'] },
          ],
        },
      ],
    })
  })

  it('takes Principal "*" for every AWS principal', () => {
    expect(parseStatement({ Principal: '*' })).toEqual(parseStatement({ Principal: { AWS: '*' } }))
  })

  it.each([
    ['NotAction', { NotAction: 's3:*' }],
    ['NotResource', { NotResource: '*' }],
    ['NotPrincipal', { NotPrincipal: '*' }],
    ['Federated', { Principal: { Federated: 'accounts.google.com' } }],
    ['CanonicalUser', { Principal: { CanonicalUser: 'abc' } }],
    ['DateLessThan', { Condition: { DateLessThan: { 'aws:CurrentTime': '2026-01-01' } } }],
    ['ForAnyValue:StringLike', { Condition: { 'ForAnyValue:StringLike': { 'aws:TagKeys': 'a' } } }],
    ['NullIfExists', { Condition: { NullIfExists: { 'a:key': 'true' } } }],
    ['stringequals', { Condition: { stringequals: { 'a:key': 'true' } } }],
    ['effect', { effect: 'Deny' }],
  ])('refuses %s by its name', (name, fields) => {
    expect(() => parseStatement(fields)).toThrow(PolicyError)
    expect(() => parseStatement(fields)).toThrow(name)
  })

  it.each([
    ['another version', { Version: '2008-10-17', Statement: allow }],
    ['no version', { Statement: allow }],
    ['no statement', { Version: '2012-10-17', Statement: [] }],
    ['an unknown element', { Version: '2012-10-17', Statement: allow, Comment: '' }],
    ['no policy at all', null],
  ])('refuses %s', (_what, json) => {
    expect(() => parsePolicy(json)).toThrow(PolicyError)
  })

  it.each([
    ['an effect of another case', { Effect: 'allow' }],
    ['an action without a service', { Action: 'GetObject' }],
    ['no action', { Action: [] }],
    ['a resource that is no ARN', { Resource: 'bucket/*' }],
    ['a variable in an action', { Action: 's3:${aws:username}' }],
    ['a part of a principal as wildcard', { Principal: { AWS: 'arn:aws:iam::123456789012:role/app*' } }],
    ['a principal that names nobody', { Principal: {} }],
    ['a variable with a default', { Resource: "arn:aws:s3:::${aws:username, 'x'}" }],
    ['an unfinished variable', { Resource: 'arn:aws:s3:::${aws:username' }],
    ['a template variable that was not filled in', { Resource: 'arn:aws:s3:::${BucketName}' }],
    ['the same in a condition', { Condition: { StringEquals: { 'aws:SourceAccount': '${Account}' } } }],
    ['a variable under a negated operator', { Condition: { StringNotEquals: { 'a:key': '${aws:username}' } } }],
    ['Null with something else than a truth value', { Condition: { Null: { 'a:key': 'yes' } } }],
    ['a condition without values', { Condition: { StringEquals: { 'a:key': [] } } }],
  ])('refuses %s', (_what, fields) => {
    expect(() => parseStatement(fields)).toThrow(PolicyError)
  })

  it('refuses a statement with neither principal nor resource, which would be about everything', () => {
    expect(() => parsePolicy({ Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*' } })).toThrow(
      'must have a Resource',
    )
  })

  it('never fails but by a PolicyError', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (Statement) => {
        try {
          parsePolicy({ Version: '2012-10-17', Statement })
        } catch (error) {
          expect(error).toBeInstanceOf(PolicyError)
        }
      }),
    )
  })
})
