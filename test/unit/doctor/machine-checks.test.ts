import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { clockCheck, clockOutcome, type ClockFacts } from '../../../agent/doctor/clock-check.ts'
import { configurationCheck } from '../../../agent/doctor/configuration-check.ts'
import { diskCheck, readDisk, roomOutcome, type DiskFacts } from '../../../agent/doctor/disk-check.ts'
import type { Check, Outcome } from '../../../agent/doctor/doctor-check.ts'
import { groupsCheck, type GroupFacts } from '../../../agent/doctor/group-check.ts'
import { journalCheck } from '../../../agent/doctor/journal-check.ts'
import { proxyCheck, proxyPlace, type ProxyFacts } from '../../../agent/doctor/proxy-check.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const nowMs = Date.parse('2027-01-01T00:00:00Z')
const gib = 1_073_741_824

async function outcomesOf(check: Check): Promise<readonly Outcome[]> {
  return await check.run(new AbortController().signal)
}

function clock(more: Partial<ClockFacts>): ClockFacts {
  return { nowMs, offsetMs: 0, releasedAtMs: nowMs - 1, isSynchronised: true, maySetClock: false, ...more }
}

test.for([
  [{}, 'pass', /agrees with the servers/],
  [{ offsetMs: 30_000 }, 'pass', /30 s slow/],
  [{ offsetMs: 120_000 }, 'warn', /2 minutes slow/],
  [{ offsetMs: -3 * 86_400_000 }, 'fail', /3 days fast/],
  [{ offsetMs: undefined }, 'skip', /no server could be asked/],
  [{ offsetMs: undefined, releasedAtMs: nowMs + 1 }, 'fail', /before this version was made/],
] as const)('judges a clock with %o', ([facts, level, text]) => {
  const outcome = clockOutcome(clock(facts))
  expect(outcome.level).toBe(level)
  expect(outcome.text).toMatch(text)
  if (level === 'fail') expect(outcome.hint).toContain('/etc/panorama-agent/allowed/set-clock')
})

test('says whether anything keeps the clock, as far as the kernel may be asked', async () => {
  const levelOf = async (isSynchronised: boolean | undefined): Promise<string | undefined> =>
    (await outcomesOf(clockCheck(() => Promise.resolve(clock({ isSynchronised })), [])))[1]?.level
  expect([await levelOf(true), await levelOf(false), await levelOf(undefined)]).toEqual(['pass', 'warn', 'skip'])
})

const notTheService = (): Promise<boolean> => Promise.resolve(false)

test('fails a configuration that the user may not read where that is whom the agent runs as, and says that it is a mode', async () => {
  const hint = 'let the user that the agent runs as read it: chmod 0644 /c.json'
  const faults = [{ path: '', message: 'cannot be read (EACCES)', hint }]
  const facts = { what: '/c.json', faults, warnings: [], unseen: '/c.json' }
  expect(await outcomesOf(configurationCheck(facts, () => Promise.resolve(true)))).toEqual([
    { level: 'fail', text: '/c.json: cannot be read (EACCES)', hint },
  ])
})

test('cannot judge a configuration that the user may not read', async () => {
  const facts = { what: '/c.json', faults: [], warnings: [], unseen: '/c.json' }
  await expect(outcomesOf(configurationCheck(facts, notTheService))).rejects.toMatchObject({ name: 'UnseenError' })
})

test('names every fault of the configuration by its path, twenty at most', async () => {
  const fault = { path: 'role.alias', message: 'is missing' }
  const warnings = [{ path: 'logs', message: 'is odd' }]
  const base = { what: '/c.json', warnings, fallback: 'the copy is used' }
  expect(await outcomesOf(configurationCheck({ ...base, faults: [fault] }, notTheService))).toMatchObject([
    {
      level: 'fail',
      text: '/c.json: role.alias is missing',
      hint: expect.stringContaining('agent.schema.json') as unknown,
    },
    { level: 'warn', text: 'the copy is used' },
    { level: 'warn', text: '/c.json: logs is odd' },
  ])
  const many = await outcomesOf(
    configurationCheck(
      { what: '/c.json', warnings: [], faults: Array.from({ length: 50 }, () => fault) },
      notTheService,
    ),
  )
  expect(many).toHaveLength(21)
  expect(many.at(-1)?.text).toBe('30 more faults')
  expect(
    await outcomesOf(configurationCheck({ what: '/c.json', warnings: [], faults: [] }, notTheService)),
  ).toMatchObject([{ level: 'pass' }])
})

const disk: DiskFacts = {
  folder: '/s',
  isThere: true,
  isFolder: true,
  freeBytes: 10 * gib,
  sizeBytes: 20 * gib,
  freeInodes: 5_000,
  inodes: 9_000,
}

test.for([
  [{}, 'pass', /10\.0 GiB of 20\.0 GiB free/],
  [{ freeBytes: 0 }, 'fail', /no space is left/],
  [{ freeInodes: 3 }, 'fail', /3 of 9000 inodes/],
  [{ freeInodes: 0, inodes: 0 }, 'pass', /free/],
  [{ freeBytes: gib / 2 }, 'fail', /downloads need 1\.0 GiB to stay free/],
  [{ freeBytes: 1.5 * gib }, 'warn', /1\.5 GiB/],
] as const)('judges a disk with %o', ([facts, level, text]) => {
  const outcome = roomOutcome({ ...disk, ...facts }, gib)
  expect(outcome.level).toBe(level)
  expect(outcome.text).toMatch(text)
})

test.for([
  ['EROFS', 'fail', /mounted read-only/],
  ['ENOSPC', 'fail', /no space is left/],
  ['EIO', 'fail', /cannot be made durable \(EIO\)/],
  ['EACCES', 'skip', /may not be written by this user/],
] as const)('names a state folder that answers %s', async ([code, level, text]) => {
  const tryWriting = (): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code }))
  const readFacts = (): Promise<DiskFacts> => Promise.resolve(disk)
  const outcomes = await outcomesOf(diskCheck({ folder: '/s', minFreeBytes: 0, readFacts, tryWriting }))
  expect(outcomes[1]?.level).toBe(level)
  expect(outcomes[1]?.text).toMatch(text)
})

test('fails a state folder that a file stands in the way of', async () => {
  await using temporary = await tempFolder()
  const file = join(temporary.path, 'file')
  await writeFile(file, '')
  for (const folder of [file, join(file, 'state')]) {
    const [, write] = await outcomesOf(diskCheck({ folder, minFreeBytes: 0 }))
    expect(write).toMatchObject({ level: 'fail', about: 'write', hint: expect.stringContaining(file) as string })
    expect(write?.text).toContain(`${file} is no folder`)
  }
})

test('writes a file and removes it, and looks above a folder that is not there yet', async () => {
  await using temporary = await tempFolder()
  const folder = join(temporary.path, 'state')
  expect(await readDisk(join(folder, 'deep'))).toMatchObject({ folder: temporary.path, isThere: false })
  expect(await outcomesOf(diskCheck({ folder, minFreeBytes: 0 }))).toMatchObject([
    { about: 'space' },
    { level: 'skip', about: 'write' },
  ])
  await mkdir(folder)
  expect(await outcomesOf(diskCheck({ folder, minFreeBytes: 0 }))).toMatchObject([
    {},
    { level: 'pass', about: 'write' },
  ])
  expect(await readdir(folder)).toEqual([])
})

function groups(exists: readonly string[], ofService: readonly string[] | undefined): () => Promise<GroupFacts> {
  const isOfService = ofService === undefined ? undefined : (group: string): boolean => ofService.includes(group)
  return () => Promise.resolve({ exists: (group) => exists.includes(group), isOfService })
}

test('names groups that are not there, or that the service is not in, with the drop-in to write', async () => {
  const configured = ['video', 'absent', 'alien', 'video'].map((group) => ({ group, field: `camera of ${group}` }))
  const outcomes = await outcomesOf(groupsCheck(configured, groups(['video', 'alien'], ['video'])))
  expect(outcomes).toMatchObject([
    { level: 'pass', about: 'video' },
    { level: 'fail', about: 'absent', hint: expect.stringContaining('groupadd --system absent') as unknown },
    { level: 'fail', about: 'alien', hint: expect.stringContaining('SupplementaryGroups=alien') as unknown },
  ])
  expect(await outcomesOf(groupsCheck(configured, groups(['video', 'alien'], undefined)))).toMatchObject([
    { level: 'skip' },
    { level: 'fail' },
    { level: 'skip' },
  ])
  expect(await outcomesOf(groupsCheck([], groups([], [])))).toMatchObject([{ level: 'pass' }])
})

test('says what keeps the agent from the journal', async () => {
  const answer = { exitCode: 0, errorCode: undefined, stdout: 'a line\n', stderr: '' } as const
  const look = async (result: object, facts = groups(['systemd-journal'], ['systemd-journal'])) =>
    await outcomesOf(
      journalCheck({ isConfigured: true, groups: facts, ask: () => Promise.resolve({ ...answer, ...result }) }),
    )
  expect(await look({})).toMatchObject([{ level: 'pass' }, { level: 'pass' }])
  expect(await look({}, groups(['systemd-journal'], []))).toMatchObject([
    { level: 'pass' },
    { level: 'fail', hint: expect.stringContaining('SupplementaryGroups=systemd-journal') as unknown },
  ])
  expect((await look({ exitCode: undefined, errorCode: 'ENOENT' }))[0]).toMatchObject({
    level: 'fail',
    text: 'there is no journalctl',
  })
  expect((await look({ exitCode: undefined }))[0]).toMatchObject({
    level: 'fail',
    text: 'journalctl did not end in time',
  })
  expect((await look({ exitCode: 1, stderr: 'bad' }))[0]).toMatchObject({
    level: 'fail',
    text: 'journalctl failed with 1: bad',
  })
  expect((await look({ stdout: '' }))[0]).toMatchObject({ level: 'fail', text: 'the journal is empty' })
  const hint = { stderr: 'Hint: You are currently not seeing messages from other users and the system.' }
  expect((await look(hint))[0]).toMatchObject({ level: 'skip' })
  const none = { exitCode: 1, stderr: 'No journal files were opened due to insufficient permissions.' }
  expect((await look(none))[0]).toMatchObject({ level: 'skip' })
})

test('shows a proxy without its password, and warns of one that is not gone by', async () => {
  expect(proxyPlace('http://user:s3cret@proxy.local:3128/x')).toBe('proxy.local:3128')
  expect(proxyPlace('proxy.local:3128')).toBe('proxy.local:3128')
  expect(proxyPlace('://')).toBe('what is no URL')
  expect(proxyPlace('http://user:12#s3cret@proxy.local:3128')).toBe('what is no URL')
  const named = { where: 'HTTPS_PROXY of the unit', proxy: 'proxy.local:3128' }
  const look = async (facts: Partial<ProxyFacts>) =>
    await outcomesOf(proxyCheck(() => Promise.resolve({ used: undefined, unused: undefined, ...facts })))
  expect(await look({ used: named })).toMatchObject([
    { level: 'pass', text: 'proxy.local:3128, by HTTPS_PROXY of the unit' },
  ])
  expect(await look({ used: named, tryTunnel: () => Promise.resolve(undefined) })).toMatchObject([
    { level: 'pass', text: expect.stringContaining('every endpoint is an exception') as unknown },
  ])
  expect(await look({ used: named, unusable: ['http://x', '10.0.0.0/40'] })).toMatchObject([
    { level: 'pass' },
    { level: 'warn', about: 'exceptions', text: expect.stringContaining(': http://x, 10.0.0.0/40') as unknown },
  ])
  const caution = new AgentError('its certificate is not valid now', { hint: 'set the clock' })
  expect(await look({ used: named, tryTunnel: () => Promise.resolve({ caution }) })).toEqual([
    { level: 'warn', text: caution.message, hint: caution.hint },
  ])
  expect(await look({ unused: named })).toMatchObject([
    { level: 'warn', text: expect.stringContaining('connects directly') as unknown },
  ])
  expect(await look({})).toMatchObject([{ level: 'pass', text: expect.stringContaining('none is named') as unknown }])
  await expect(look({ fault: new Error('it is no proxy') })).rejects.toThrow('it is no proxy')
})

test('says that the service may go another way than what this user can see', async () => {
  const named = { where: 'HTTPS_PROXY of the unit', proxy: 'proxy.local:3128' }
  const look = async (running: { readonly proxy?: string } | undefined, used?: typeof named) => {
    const unseen = { files: ['/etc/proxy.env'], running }
    return await outcomesOf(proxyCheck(() => Promise.resolve({ used, unused: undefined, unseen })))
  }
  const isWarning = (text: string) => ({
    level: 'warn',
    text: expect.stringContaining(text) as unknown,
    hint: expect.stringMatching(/^run it with sudo/) as unknown,
  })
  expect(await look(undefined)).toMatchObject([
    isWarning('the agent may go another way, and what follows was looked at'),
  ])
  expect(await look(undefined)).toMatchObject([isWarning('/etc/proxy.env')])
  expect(await look({ proxy: 'other.local:1' })).toMatchObject([isWarning('goes by the proxy other.local:1, and what')])
  expect(await look({})).toMatchObject([{ level: 'pass', text: expect.stringContaining('none is named') as unknown }])
  expect(await look({ proxy: named.proxy }, named)).toMatchObject([{ level: 'pass' }])
  const differs = [{ level: 'pass' }, { ...isWarning('the agent goes directly'), about: 'environment' }]
  expect(await look({}, named)).toMatchObject(differs)
})
