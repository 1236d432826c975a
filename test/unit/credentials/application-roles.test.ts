import { expect, test } from 'vitest'

import { ApplicationRoles } from '../../../agent/credentials/application-roles.ts'
import { RoleCredentials } from '../../../agent/credentials/role-credentials.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const counter = { name: 'people-counter', roleAlias: 'counter-role', group: 'counter' }
const gate = { name: 'gate', roleAlias: 'gate-role', group: 'gate' }

/** Roles whose credentials are named after the alias; `fetched` lists the aliases asked for. */
function make(): { readonly roles: ApplicationRoles; readonly fetched: string[] } {
  const fetched: string[] = []
  const roles = new ApplicationRoles(({ name, roleAlias }) => {
    const fetch = async () => {
      fetched.push(roleAlias)
      const key = { accessKeyId: `key of ${roleAlias}`, secretAccessKey: 's', sessionToken: 't' }
      return await Promise.resolve({ ...key, lifetimeMs: 3_600_000 })
    }
    return new RoleCredentials({ name: `applications:${name}`, source: { fetch }, log: new RecordingLog() })
  })
  return { roles, fetched }
}

async function keyOf(roles: ApplicationRoles, name: string): Promise<string | undefined> {
  return (await roles.credentialsOf(name)?.get())?.accessKeyId
}

test('fetches for each application by its own role alias, before anybody asks', async () => {
  const { roles, fetched } = make()
  await using _ = roles
  roles.keep([counter, gate])
  expect(await keyOf(roles, 'people-counter')).toBe('key of counter-role')
  expect(await keyOf(roles, 'gate')).toBe('key of gate-role')
  expect(fetched.sort()).toEqual(['counter-role', 'gate-role'])
  expect(roles.workers.map(({ name }) => name)).toEqual(['applications:people-counter', 'applications:gate'])
})

test('keeps what it holds where the role alias stays, whatever else changes', async () => {
  const { roles, fetched } = make()
  await using _ = roles
  roles.keep([counter])
  await keyOf(roles, 'people-counter')
  const before = roles.credentialsOf('people-counter')
  roles.keep([gate, { ...counter, group: 'another' }])
  expect(roles.credentialsOf('people-counter')).toBe(before)
  await keyOf(roles, 'gate')
  expect(fetched).toEqual(['counter-role', 'gate-role'])
})

test('begins anew where the role alias changes, and ends what is not needed any more', async () => {
  const { roles } = make()
  await using _ = roles
  roles.keep([counter, gate])
  await keyOf(roles, 'people-counter')
  const ended = [...roles.workers]
  roles.keep([{ ...counter, roleAlias: 'other-role' }])
  expect(await keyOf(roles, 'people-counter')).toBe('key of other-role')
  expect(roles.credentialsOf('gate')).toBeUndefined()
  await Promise.all(ended.map(async (worker) => await worker.requestPass().catch(() => undefined)))
  expect(ended.map(({ hasStopped }) => hasStopped)).toEqual([true, true])
})

test('ends with all its workers', async () => {
  const { roles } = make()
  roles.keep([counter, gate])
  const workers = [...roles.workers]
  await roles[Symbol.asyncDispose]()
  expect(workers.map(({ hasStopped }) => hasStopped)).toEqual([true, true])
})
