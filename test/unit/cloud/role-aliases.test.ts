import { describe, expect, it } from 'vitest'

import { RoleAliases } from '../../cloud/role-aliases.ts'
import { Roles } from '../../cloud/roles.ts'

const roleArn = 'arn:aws:iam::123456789012:role/appliance'
const aliases = () => new RoleAliases({ account: '123456789012', region: 'us-west-2', now: () => 0 })

describe('RoleAliases', () => {
  it('gives credentials for an hour unless told otherwise', () => {
    const all = aliases()
    all.put({ name: 'a', roleArn })

    expect(all.get('a')?.credentialDurationSeconds).toBe(3600)
  })

  it.each([899, 43_201])('refuses a duration of %i seconds, as AWS does', (credentialDurationSeconds) => {
    expect(() => {
      aliases().put({ name: 'a', roleArn, credentialDurationSeconds })
    }).toThrow(RangeError)
  })

  it('takes a short duration when it is called unsafe', () => {
    const all = aliases()
    all.put({ name: 'a', roleArn, credentialDurationSeconds: 2, unsafe: true })

    expect(all.get('a')?.credentialDurationSeconds).toBe(2)
  })

  it.each(['', 'with space', 'with/slash', 'x'.repeat(129)])('refuses the name %j', (name) => {
    expect(() => {
      aliases().put({ name, roleArn })
    }).toThrow(RangeError)
  })
})

describe('Roles', () => {
  const trustPolicy = { version: '2012-10-17', statements: [] } as const

  it('finds a role by its ARN, and none of another account', () => {
    const roles = new Roles('123456789012', () => 0)
    roles.put({ name: 'appliance', trustPolicy, policies: [] })

    expect(roles.byArn(roleArn)?.name).toBe('appliance')
    expect(roles.byArn('arn:aws:iam::210987654321:role/appliance')).toBeUndefined()
  })

  it.each([3599, 43_201])('refuses a maximum of %i seconds', (maxSessionDurationSeconds) => {
    const roles = new Roles('123456789012', () => 0)

    expect(() => {
      roles.put({ name: 'appliance', trustPolicy, policies: [], maxSessionDurationSeconds })
    }).toThrow(RangeError)
  })
})
