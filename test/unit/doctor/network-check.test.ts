import { expect, test } from 'vitest'

import { defaultRoutesV4, defaultRoutesV6, networkCheck, networkOutcome } from '../../../agent/doctor/network-check.ts'

const address = { interface: 'eth0', address: '192.0.2.7', family: 4 as const }
const never = new AbortController().signal

test('names addresses and the way out', () => {
  const facts = { addresses: [address], defaultV4: ['eth0'], defaultV6: ['wlan0'] }
  expect(networkOutcome(facts)).toEqual({
    level: 'pass',
    text: 'eth0 192.0.2.7; default route: IPv4 by eth0, IPv6 by wlan0',
  })
})

test('fails without an address, or with those only that reach no further than the cable', () => {
  const linkLocal = [
    { interface: 'eth0', address: '169.254.3.4', family: 4 as const },
    { interface: 'eth0', address: 'fe80::1', family: 6 as const },
  ]
  const routes = { defaultV4: [], defaultV6: [] }
  expect(networkOutcome({ addresses: [], ...routes })).toMatchObject({
    level: 'fail',
    text: 'no interface has an address',
  })
  expect(networkOutcome({ addresses: linkLocal, ...routes })).toMatchObject({
    level: 'fail',
    text: 'there are link-local addresses only',
    hint: expect.stringContaining('DHCP') as unknown,
  })
})

test('warns of a missing default route, which a local network may do without', () => {
  expect(networkOutcome({ addresses: [address], defaultV4: [], defaultV6: [] })).toMatchObject({
    level: 'warn',
    text: expect.stringContaining('there is no default route') as unknown,
    hint: expect.stringContaining('gateway') as unknown,
  })
})

test('does not look where every endpoint is on this machine', async () => {
  const outcomes = await networkCheck(true, () => Promise.reject(new Error('looked'))).run(never)
  expect(outcomes).toMatchObject([{ level: 'skip' }])
})

test('reads default routes as the kernel shows them', () => {
  const v4 = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'down0\t00000000\t010200C0\t0002\t0\t0\t0\t00000000\t0\t0\t0',
  ].join('\n')
  expect(defaultRoutesV4(v4)).toEqual(['eth0'])
  const zero = '0'.repeat(32)
  const v6 = [
    `${zero} 00 ${zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0`,
    `${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo`,
    `${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200201     eth2`,
    `fe80000000000000${'0'.repeat(16)} 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001     eth1`,
  ].join('\n')
  expect(defaultRoutesV6(v6)).toEqual(['eth0'])
  expect([...defaultRoutesV4(''), ...defaultRoutesV6('')]).toEqual([])
})
