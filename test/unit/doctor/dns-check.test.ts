import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { dnsCheck, fewAtATime, readResolvers, type DnsDeps } from '../../../agent/doctor/dns-check.ts'
import type { Outcome } from '../../../agent/doctor/doctor-check.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { endpoint } from './endpoint-fixture.ts'

const v4Only = { addresses: [], defaultV4: ['eth0'], defaultV6: [] }
const v6Only = { addresses: [], defaultV4: [], defaultV6: ['eth0'] }

async function look(deps: Partial<DnsDeps>, host?: string): Promise<Outcome | undefined> {
  const [outcome] = await dnsCheck(endpoint(host === undefined ? {} : { host }), {
    resolve: () => Promise.resolve([{ address: '203.0.113.1', family: 4 }]),
    network: () => Promise.resolve(v4Only),
    resolvers: () => Promise.resolve(['192.0.2.53']),
    ...deps,
  }).run(new AbortController().signal)
  return outcome
}

function failing(code: string): DnsDeps['resolve'] {
  return () => Promise.reject(Object.assign(new Error('no'), { code }))
}

test('names the addresses and who told them', async () => {
  expect(await look({})).toEqual({
    level: 'pass',
    text: 'logs.us-west-2.amazonaws.com is 203.0.113.1, by 192.0.2.53',
  })
})

test('tells a name that is not there from a server that does not answer', async () => {
  expect(await look({ resolve: failing('ENOTFOUND') })).toMatchObject({
    level: 'fail',
    text: 'there is no name logs.us-west-2.amazonaws.com, by 192.0.2.53 (ENOTFOUND)',
    hint: expect.stringContaining('spelling') as unknown,
  })
  expect(await look({ resolve: failing('EAI_AGAIN'), resolvers: () => Promise.resolve([]) })).toMatchObject({
    level: 'fail',
    text: expect.stringContaining(
      'by no DNS server, as /etc/resolv.conf names none: it failed with EAI_AGAIN',
    ) as unknown,
    hint: expect.stringContaining('UDP and TCP 53') as unknown,
  })
})

test('warns of addresses of a family that there is no way out by', async () => {
  expect(await look({ network: () => Promise.resolve(v6Only) })).toMatchObject({
    level: 'warn',
    hint: expect.stringContaining('endpoints.dualStack') as unknown,
  })
  const resolve = (): Promise<{ address: string; family: number }[]> =>
    Promise.resolve([{ address: '2001:db8::1', family: 6 }])
  expect(await look({ resolve })).toMatchObject({ level: 'warn', text: expect.stringContaining('(AAAA)') as unknown })
  expect(await look({ resolve, network: () => Promise.resolve(v6Only) })).toMatchObject({ level: 'pass' })
})

test('asks nobody for an address, or for a name of this machine', async () => {
  const resolve = failing('ENOTFOUND')
  expect(await look({ resolve }, '192.0.2.1')).toMatchObject({ level: 'pass' })
  expect(await look({ resolve }, 's3.localhost')).toMatchObject({ level: 'pass' })
})

test('resolves two names at a time, and goes on after one that fails', async () => {
  let [open, most] = [0, 0]
  const resolve = fewAtATime(async (host) => {
    open += 1
    most = Math.max(most, open)
    await Promise.resolve()
    open -= 1
    if (host === 'b') throw new Error('no')
    return []
  })
  const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((host) => resolve(host)))
  expect(most).toBe(2)
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
})

test('reads the name servers of resolv.conf', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'resolv.conf')
  await writeFile(path, '# nameserver 9.9.9.9\nsearch lan\nnameserver 127.0.0.53\nnameserver 2001:db8::53\n')
  expect(await readResolvers(path)).toEqual(['127.0.0.53', '2001:db8::53'])
  expect(await readResolvers(join(folder.path, 'absent'))).toEqual([])
})
