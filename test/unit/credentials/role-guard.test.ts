import { expect, test } from 'vitest'

import type { FetchedCredentials } from '../../../agent/credentials/credential-source.ts'
import { RoleGuard } from '../../../agent/credentials/role-guard.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const signal = new AbortController().signal

function credentials(accessKeyId: string): FetchedCredentials {
  return { accessKeyId, secretAccessKey: 'secret', sessionToken: 'session', lifetimeMs: 3_600_000 }
}

async function held(own: FetchedCredentials | undefined): Promise<FetchedCredentials> {
  if (own === undefined) throw new AgentError('no credentials', { retryable: true })
  return await Promise.resolve(own)
}

class Bench {
  /** The role behind each access key id; undefined where STS cannot be reached. */
  readonly roles = new Map([
    ['base-key', 'base-role'],
    ['chained-key', 'appliance-role'],
    ['app-key', 'app-role'],
  ])
  readonly asked: string[] = []
  /** Undefined while there are none. */
  base: FetchedCredentials | undefined = credentials('base-key')
  chained: FetchedCredentials | undefined = credentials('chained-key')
  fetched = credentials('app-key')
  readonly #guard = new RoleGuard({
    lookUp: async ({ accessKeyId }) => {
      this.asked.push(accessKeyId)
      const role = this.roles.get(accessKeyId)
      if (role === undefined) throw new AgentError('STS cannot be reached', { retryable: true })
      return await Promise.resolve(role)
    },
    ofAppliance: [async () => await held(this.base), async () => await held(this.chained)],
  })

  async fetch(): Promise<FetchedCredentials> {
    const source = { fetch: async () => await Promise.resolve(this.fetched) }
    return await this.#guard.guard(source, 'app-alias').fetch(signal)
  }
}

test('lets the role of an application pass, and says which it is', async () => {
  const bench = new Bench()
  expect(await bench.fetch()).toEqual({ ...credentials('app-key'), role: 'app-role' })
})

test.each(['base-role', 'appliance-role'])('never hands out the role of the appliance: %s', async (role) => {
  const bench = new Bench()
  bench.roles.set('app-key', role)
  await expect(bench.fetch()).rejects.toMatchObject({
    retryable: false,
    message: `the role alias app-alias leads to the role of the appliance itself, ${role}`,
    hint: expect.stringMatching(/update-role-alias --role-alias app-alias/) as unknown,
  })
})

test.each([
  { what: 'the other one', change: (bench: Bench) => void (bench.chained = undefined) },
  { what: "the other one's role", change: (bench: Bench) => void bench.roles.delete('chained-key') },
])('refuses one role of the appliance also while $what cannot be had', async ({ change }) => {
  const bench = new Bench()
  bench.roles.set('app-key', 'base-role')
  change(bench)
  await expect(bench.fetch()).rejects.toThrow('the role of the appliance itself')
})

test("asks once for each of the appliance's credentials", async () => {
  const bench = new Bench()
  await bench.fetch()
  await bench.fetch()
  expect(bench.asked.filter((keyId) => keyId !== 'app-key')).toEqual(['base-key', 'chained-key'])
  bench.base = credentials('renewed-key')
  bench.roles.set('renewed-key', 'app-role')
  await expect(bench.fetch()).rejects.toThrow('the role of the appliance itself')
})

test.each([
  { what: 'the role of the application', change: (bench: Bench) => void bench.roles.delete('app-key') },
  { what: 'the role of the appliance', change: (bench: Bench) => void bench.roles.delete('base-key') },
  { what: 'what the appliance holds', change: (bench: Bench) => void (bench.chained = undefined) },
])('hands out nothing that cannot be compared: $what is unknown', async ({ change }) => {
  const bench = new Bench()
  change(bench)
  await expect(bench.fetch()).rejects.toMatchObject({
    retryable: true,
    message: 'whether the role alias app-alias leads to the role of the appliance itself cannot be known',
    hint: expect.stringContaining('let the appliance reach STS') as unknown,
  })
})

test('goes by what the role of the appliance was while it holds no credentials', async () => {
  const bench = new Bench()
  await bench.fetch()
  bench.base = undefined
  expect(await bench.fetch()).toMatchObject({ role: 'app-role' })
  bench.roles.set('app-key', 'base-role')
  await expect(bench.fetch()).rejects.toThrow('the role of the appliance itself')
})

test('does not take an abort for something unknown', async () => {
  const guard = new RoleGuard({
    lookUp: async () => await new Promise(() => undefined),
    ofAppliance: [],
  })
  const stop = new AbortController()
  const fetched = guard
    .guard({ fetch: async () => await Promise.resolve(credentials('app-key')) }, 'a')
    .fetch(stop.signal)
  stop.abort(new Error('stopped'))
  await expect(fetched).rejects.toThrow('stopped')
})
