import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { date, namesIn, requestBench, type RequestBench } from '../support/request-bench.ts'
import { runCommand } from '../support/run-command.ts'
import { mountSmallDisk, whyNoMount } from '../support/small-disk.ts'
import { until } from '../support/wait-until.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.log('skipped, because only root can give files to another user: whose files are believed')
const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because no file system can be mounted here: ${noMount}`)

const reboot = '{"verb":"reboot"}'
const done = { result: 'done', code: 'ok' }

function restart(unit: string): string {
  return JSON.stringify({ verb: 'restart-unit', argument: unit })
}

function hook(name: string): string {
  return JSON.stringify({ verb: 'run-hook', argument: name })
}

async function expectNothingLeft({ requestsFolder, workFolder }: RequestBench): Promise<void> {
  expect(await namesIn(requestsFolder)).toEqual([])
  expect(await namesIn(workFolder)).toEqual([])
}

describe('each verb', () => {
  test('reboots, and says so before', async () => {
    await using bench = await requestBench()
    const answerFile = join(bench.answersFolder, 'r1.json')
    const systemctl = join(bench.folder, 'looking')
    await writeFile(systemctl, `#!/bin/sh\ncp ${answerFile} ${bench.folder}/seen\n`, { mode: 0o755 })
    await bench.put('r1.json', reboot)
    expect(await bench.handle({ systemctl })).toBe('finished')
    expect(JSON.parse(await readFile(join(bench.folder, 'seen'), 'utf8'))).toEqual(done)
    expect(bench.lines).toEqual(['request r1.json reboot: done ok'])
    await expectNothingLeft(bench)
  })

  test('takes it back when the reboot fails', async () => {
    await using bench = await requestBench()
    const systemctl = join(bench.folder, 'failing')
    await writeFile(systemctl, '#!/bin/sh\necho no >&2\nexit 4\n', { mode: 0o755 })
    await bench.put('r1.json', reboot)
    await bench.handle({ systemctl })
    expect(await bench.answer('r1')).toEqual({ result: 'failed', code: 'exit-code-4' })
    expect(bench.lines).toContain('systemctl: no')
  })

  test('restarts a unit that is on the list', async () => {
    await using bench = await requestBench()
    await bench.allow('restart-unit', '# units', '', 'other.service', '  -odd@1.service  # of the camera')
    await bench.put('r1.json', restart('-odd@1.service'))
    await bench.handle()
    expect(await bench.systemctlCalls()).toEqual(['restart -- -odd@1.service'])
    expect(await bench.answer('r1')).toEqual(done)
    expect(bench.lines).toEqual(['request r1.json restart-unit -odd@1.service: done ok'])
  })

  test('runs a hook that is on the list, with nothing of its own environment', async () => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'flush')
    await bench.addHook('flush', `#!/bin/sh\nenv | sort >${bench.folder}/env\npwd; echo "$# arguments" >&2\n`)
    await bench.put('r1.json', hook('flush'))
    await bench.handle()
    const environment = await readFile(join(bench.folder, 'env'), 'utf8')
    expect(environment.replace(/^(OLDPWD|SHLVL|_)=.*\n/gm, '')).toBe(
      'LANG=C.UTF-8\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n',
    )
    expect(bench.lines.toSorted()).toEqual([
      'hook flush: /',
      'hook flush: 0 arguments',
      'request r1.json run-hook flush: done ok',
    ])
    expect(await bench.answer('r1')).toEqual(done)
  })

  test('sets the clock where the image allows it', async () => {
    await using bench = await requestBench()
    const request = JSON.stringify({ verb: 'set-clock', argument: '2027-06-01T12:00:00Z' })
    await date(await bench.put('r1.json', request), bench.clock.nowMs)
    await bench.handle()
    expect(await bench.answer('r1')).toEqual({ result: 'refused', code: 'verb-not-allowed' })
    await bench.allow('set-clock')
    await date(await bench.put('r2.json', request), bench.clock.nowMs)
    await bench.handle()
    expect(await bench.answer('r2')).toEqual(done)
    expect(bench.clockSets).toHaveLength(1)
  })
})

describe('hooks', () => {
  test.each([
    { what: 'fails', script: '#!/bin/sh\nexit 3\n', code: 'exit-code-3' },
    { what: 'is killed', script: '#!/bin/sh\nkill -9 $$\n', code: 'killed-by-sigkill' },
    { what: 'has no interpreter', script: '#!/not/there\n', code: 'not-started-enoent' },
  ])('tells that a hook $what', async ({ script, code }) => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'flush')
    await bench.addHook('flush', script)
    await bench.put('r1.json', hook('flush'))
    await bench.handle()
    expect(await bench.answer('r1')).toEqual({ result: 'failed', code })
  })

  test('tells that a hook may not be executed', async () => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'flush')
    await chmod(await bench.addHook('flush', '#!/bin/sh\n'), 0o644)
    await bench.put('r1.json', hook('flush'))
    await bench.handle()
    expect(await bench.answer('r1')).toEqual({ result: 'failed', code: 'not-executable' })
  })

  test('kills a hook with all that it started when its time is up', async () => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'hang')
    const pids = join(bench.folder, 'pids')
    await bench.addHook('hang', `#!/bin/sh\ntrap '' TERM\nsleep 600 &\necho $$ $! >${pids}\nwait\nsleep 600\n`)
    await bench.put('r1.json', hook('hang'))
    await bench.handle({ hookWithinMs: 500 })
    expect(await bench.answer('r1')).toEqual({ result: 'failed', code: 'timed-out' })
    await expectAllEnded(pids)
  })

  test('kills what a hook leaves behind, and does not wait for it', async () => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'fork')
    const pids = join(bench.folder, 'pids')
    await bench.addHook('fork', `#!/bin/sh\nsleep 600 &\necho $! >${pids}\n`)
    await bench.put('r1.json', hook('fork'))
    await bench.handle()
    expect(await bench.answer('r1')).toEqual(done)
    await expectAllEnded(pids)
  })

  test('shows the beginning of what a hook prints, and drops the rest', async () => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'talk')
    await bench.addHook('talk', `#!/bin/sh\nprintf 'a\\033[2Jb\\n'\nyes 123456789 | head -c 1000000\n`)
    await bench.put('r1.json', hook('talk'))
    await bench.handle()
    expect(bench.lines[0]).toBe('hook talk: a?[2Jb')
    expect(bench.lines.length).toBeLessThan(1_700)
    expect(bench.lines.at(-2)).toMatch(/^hook talk: \(98\d{4} bytes more are not shown\)$/)
    expect(await bench.answer('r1')).toEqual(done)
  })
})

async function expectAllEnded(pidsFile: string): Promise<void> {
  const pids = (await readFile(pidsFile, 'utf8')).trim().split(' ').map(Number)
  expect(pids.length).toBeGreaterThan(0)
  for (const pid of pids) await until(async () => await isEnded(pid))
}

/** A zombie that nobody waits for has ended as well. */
async function isEnded(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return state === undefined || /\) [ZX] /.test(state)
}

/** What makes root believe a list or a hook no more. */
interface Doubt {
  readonly what: string
  readonly needsRoot?: boolean
  readonly spoil: (bench: RequestBench, path: string) => Promise<unknown>
}

/** Moves a file aside and puts something else in its place. */
async function replace(path: string, make: (old: string) => Promise<unknown>): Promise<void> {
  await rename(path, `${path}.old`)
  await make(`${path}.old`)
}

describe('what root is not willing to do', () => {
  test.each([
    { what: 'a unit without a list', list: undefined, code: 'verb-not-allowed' },
    { what: 'a unit that is not on the list', list: ['other.service'], code: 'argument-not-allowed' },
    { what: 'a unit of which the list has a part', list: ['app', 'app.service.d'], code: 'argument-not-allowed' },
    { what: 'a unit in a comment', list: ['#app.service', 'x # app.service'], code: 'argument-not-allowed' },
    { what: 'a unit beside another on one line', list: ['x app.service'], code: 'argument-not-allowed' },
    { what: 'a unit that a pattern would match', list: ['*', 'app.*'], code: 'argument-not-allowed' },
  ])('refuses $what', async ({ list, code }) => {
    await using bench = await requestBench()
    if (list !== undefined) await bench.allow('restart-unit', ...list)
    await bench.put('r1.json', restart('app.service'))
    await bench.handle()
    expect(await bench.answer('r1')).toEqual({ result: 'refused', code })
    expect(await bench.systemctlCalls()).toEqual([])
  })

  test('does not take the list of one verb for that of another', async () => {
    await using bench = await requestBench()
    await bench.allow('restart-unit', 'flush')
    await bench.addHook('flush', `#!/bin/sh\n`)
    await bench.put('r1.json', hook('flush'))
    await bench.handle()
    expect(await bench.answer('r1')).toEqual({ result: 'refused', code: 'verb-not-allowed' })
  })

  const doubts: readonly Doubt[] = [
    { what: 'that its group may write', spoil: (_, list) => chmod(list, 0o664) },
    { what: 'that others may write', spoil: (_, list) => chmod(list, 0o646) },
    { what: 'in a folder that others may write', spoil: (b) => chmod(join(b.configFolder, 'allowed'), 0o777) },
    { what: 'below a folder that others may write', spoil: (b) => chmod(b.configFolder, 0o777) },
    { what: 'that is a symlink', spoil: (_, list) => replace(list, (old) => symlink(old, list)) },
    { what: 'that is a folder', spoil: (_, list) => replace(list, () => mkdir(list)) },
    { what: 'that is a FIFO', spoil: (_, list) => replace(list, () => runCommand('mkfifo', [list])) },
    { what: 'that is too long', spoil: (_, list) => writeFile(list, 'app.service\n'.repeat(6_000)) },
    { what: "that is the agent's", needsRoot: true, spoil: (b, list) => chown(list, b.agent.uid, 0) },
    { what: "that has the agent's group", needsRoot: true, spoil: (b, list) => chown(list, 0, b.agent.gid) },
    {
      what: "in a folder of the agent's",
      needsRoot: true,
      spoil: (b) => chown(join(b.configFolder, 'allowed'), b.agent.uid, 0),
    },
  ]

  test.each(doubts.filter(({ needsRoot = false }) => isRoot || !needsRoot))(
    'believes no list $what',
    async ({ spoil }) => {
      await using bench = await requestBench()
      await spoil(bench, await bench.allow('restart-unit', 'app.service'))
      await bench.put('r1.json', restart('app.service'))
      await bench.handle()
      expect(await bench.answer('r1')).toEqual({ result: 'refused', code: 'list-not-trusted' })
      expect(await bench.systemctlCalls()).toEqual([])
    },
  )

  const hookDoubts: readonly Doubt[] = [
    { what: 'that others may write', spoil: (_, file) => chmod(file, 0o757) },
    { what: 'in a folder that its group may write', spoil: (b) => chmod(join(b.configFolder, 'hooks'), 0o775) },
    { what: 'that is a symlink', spoil: (_, file) => replace(file, () => symlink('/bin/true', file)) },
    { what: 'that is a folder', spoil: (_, file) => replace(file, () => mkdir(file)) },
    { what: "of the agent's", needsRoot: true, spoil: (b, file) => chown(file, b.agent.uid, 0) },
  ]

  test.each(hookDoubts.filter(({ needsRoot = false }) => isRoot || !needsRoot))('runs no hook $what', async (doubt) => {
    await using bench = await requestBench()
    await bench.allow('run-hook', 'flush')
    await doubt.spoil(bench, await bench.addHook('flush', `#!/bin/sh\ntouch ${bench.folder}/ran\n`))
    await bench.put('r1.json', hook('flush'))
    await bench.handle()
    expect(await bench.answer('r1')).toEqual({ result: 'refused', code: 'hook-not-trusted' })
    expect(await namesIn(bench.folder)).not.toContain('ran')
  })

  test.each(['.', '..', 'missing'])('runs no hook %j, even if a list has it', async (name) => {
    await using bench = await requestBench()
    await bench.allow('run-hook', name)
    await bench.put('r1.json', hook(name))
    await bench.handle()
    expect(await bench.answer('r1')).not.toEqual(done)
  })
})

/** What is named like a request and is none. */
interface Thing {
  readonly what: string
  readonly code: string
  readonly needsRoot?: boolean
  readonly make: (path: string, bench: RequestBench) => Promise<unknown>
}

describe('what is no request', () => {
  const contents = [
    ['', 'malformed'],
    ['{}', 'malformed'],
    ['reboot', 'malformed'],
    ['{"verb":"reboot"', 'malformed'],
    ['{"verb":"reboot","more":""}', 'malformed'],
    ['{"verb":"poweroff"}', 'unknown-verb'],
    ['{"verb":"reboot","argument":"now"}', 'argument-not-taken'],
    ['{"verb":"run-hook"}', 'argument-missing'],
    ['{"verb":"run-hook","argument":"../x"}', 'bad-argument'],
    [`${reboot}${' '.repeat(256)}`, 'too-large'],
    ['x'.repeat(1_000_000), 'too-large'],
  ] as const

  test.each(contents)('refuses %j', async (content, code) => {
    await using bench = await requestBench()
    await bench.put('r1.json', content)
    expect(await bench.handle()).toBe('finished')
    expect(await bench.answer('r1')).toEqual({ result: 'refused', code })
    expect(bench.lines).toEqual([`request r1.json: refused ${code}`])
    await expectNothingLeft(bench)
  })

  const things: readonly Thing[] = [
    { what: 'a symlink', code: 'not-a-regular-file', make: (path) => symlink('/etc/hostname', path) },
    { what: 'a dangling symlink', code: 'not-a-regular-file', make: (path) => symlink('nowhere', path) },
    { what: 'a symlink to itself', code: 'not-a-regular-file', make: (path) => symlink(path, path) },
    { what: 'an empty folder', code: 'not-a-regular-file', make: (path) => mkdir(path) },
    { what: 'a folder with a tree in it', code: 'not-a-regular-file', make: makeTree },
    { what: 'a FIFO', code: 'not-a-regular-file', make: (path) => runCommand('mkfifo', [path]) },
    {
      what: 'a file with a second name',
      code: 'linked',
      make: async (_, b) => {
        await link(await b.put('r1.json', reboot), join(b.runtimeFolder, 'second'))
      },
    },
    {
      what: "a file of somebody else's",
      code: 'wrong-owner',
      needsRoot: true,
      make: (path) => writeFile(path, reboot),
    },
    {
      what: 'a device',
      code: 'not-a-regular-file',
      needsRoot: true,
      make: (path) => runCommand('mknod', [path, 'c', '1', '3']),
    },
  ]

  test.each(things.filter(({ needsRoot = false }) => isRoot || !needsRoot))(
    'refuses $what, and it leaves the folder',
    async ({ make, code }) => {
      await using bench = await requestBench()
      await make(join(bench.requestsFolder, 'r1.json'), bench)
      expect(await bench.handle()).toBe('finished')
      expect(await bench.answer('r1')).toEqual({ result: 'refused', code })
      expect(await bench.systemctlCalls()).toEqual([])
      await expectNothingLeft(bench)
      expect((await stat('/etc/passwd')).isFile()).toBe(true)
    },
  )

  test('refuses a socket', async () => {
    await using bench = await requestBench()
    const server = createServer().listen(join(bench.requestsFolder, 'r1.json'))
    await until(() => server.listening)
    await bench.handle()
    server.close()
    expect(await bench.answer('r1')).toEqual({ result: 'refused', code: 'not-a-regular-file' })
    await expectNothingLeft(bench)
  })

  const names: readonly (string | Buffer)[] = [
    '.json',
    '.r1.json',
    '-.x.json',
    'a b.json',
    'a\nb.json',
    'r1.json.json',
    'r1_.json',
    '$(reboot).json',
    'é.json',
    `${'a'.repeat(65)}.json`,
    `${'a'.repeat(250)}.json`,
    Buffer.from([0xff, 0xfe, ...Buffer.from('.json')]),
  ]

  test.each(names)('lets nothing under the name %j stay, and answers nothing', async (name) => {
    await using bench = await requestBench()
    await bench.put(name, reboot)
    expect(await bench.handle()).toBe('finished')
    expect(bench.lines).toHaveLength(1)
    expect(bench.lines[0]).toMatch(/^request [!-~\u00a0-\u00ff]{1,80}: refused bad-id$/)
    expect(await namesIn(bench.answersFolder)).toEqual([])
    expect(await bench.systemctlCalls()).toEqual([])
    await expectNothingLeft(bench)
  })

  test('leaves alone what systemd does not take for a request', async () => {
    await using bench = await requestBench()
    await bench.put('.0123456789ab.tmp', reboot)
    await bench.put('r1.JSON', reboot)
    await bench.handle()
    expect(await namesIn(bench.requestsFolder)).toEqual(['.0123456789ab.tmp', 'r1.JSON'])
    expect(bench.lines).toEqual([])
  })
})

async function makeTree(path: string): Promise<void> {
  await mkdir(join(path, 'a', 'b'), { recursive: true })
  await writeFile(join(path, 'a', 'b', 'c.json'), reboot)
  await symlink('/etc', join(path, 'a', 'etc'))
}

describe('many requests', () => {
  test('are handled one after the other, oldest first', async () => {
    await using bench = await requestBench()
    const units = ['c', 'a', 'b', 'd']
    await bench.allow('restart-unit', ...units)
    for (const [age, unit] of units.entries()) await date(await bench.put(`${unit}.json`, restart(unit)), age * 1_000)
    await bench.handle()
    expect(await bench.systemctlCalls()).toEqual(units.map((unit) => `restart -- ${unit}`))
  })

  test('do not keep each other from being handled', async () => {
    await using bench = await requestBench()
    await bench.put('bad.json', '{')
    await bench.put('good.json', reboot)
    await mkdir(join(bench.answersFolder, 'bad.json', 'in-the-way'), { recursive: true })
    expect(await bench.handle()).toBe('finished')
    expect(await bench.answer('good')).toEqual(done)
    expect(bench.lines).toContain('request bad.json: refused malformed')
    expect(bench.lines.some((line) => line.startsWith('request bad.json: the answer cannot be given'))).toBe(true)
    await expectNothingLeft(bench)
  })

  test('are left to the next run when this one has taken long', async () => {
    await using bench = await requestBench()
    await bench.put('r1.json', reboot)
    expect(await bench.handle({ runMs: -1 })).toBe('finished')
    expect(await namesIn(bench.requestsFolder)).toEqual(['r1.json'])
    expect(await bench.systemctlCalls()).toEqual([])
  })
})

describe('answers', () => {
  test("are the agent's alone", async () => {
    await using bench = await requestBench()
    await bench.put('r1.json', reboot)
    await bench.handle()
    const { uid, gid, mode } = await lstat(join(bench.answersFolder, 'r1.json'))
    expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ ...bench.agent, mode: 0o600 })
    expect(await namesIn(bench.answersFolder)).toEqual(['r1.json'])
  })

  test('are written through no symlink that the agent left in their place', async () => {
    await using bench = await requestBench()
    const victim = join(bench.folder, 'victim')
    await writeFile(victim, 'precious', { mode: 0o644 })
    await symlink(victim, join(bench.answersFolder, 'r1.json'))
    await bench.put('r1.json', reboot)
    await bench.handle()
    expect(await readFile(victim, 'utf8')).toBe('precious')
    expect((await stat(victim)).uid).toBe(process.getuid?.())
    expect(await bench.answer('r1')).toEqual(done)
  })

  test('go into no folder that a symlink leads to', async () => {
    await using bench = await requestBench()
    const victim = join(bench.folder, 'victim')
    await mkdir(victim)
    await chown(victim, bench.agent.uid, bench.agent.gid)
    await rm(bench.answersFolder, { recursive: true })
    await symlink(victim, bench.answersFolder)
    await bench.put('r1.json', '{')
    expect(await bench.handle()).toBe('finished')
    expect(await namesIn(victim)).toEqual([])
    expect(await readlink(bench.answersFolder)).toBe(victim)
    expect(bench.lines[1]).toMatch(/^request r1\.json: the answer cannot be given/)
    await expectNothingLeft(bench)
  })

  test('are no reason to stop when their folder is gone', async () => {
    await using bench = await requestBench()
    await rm(bench.answersFolder, { recursive: true })
    await bench.put('r1.json', reboot)
    expect(await bench.handle()).toBe('finished')
    expect(await bench.systemctlCalls()).toEqual(['reboot'])
    await expectNothingLeft(bench)
  })
})

describe('the folder of the requests', () => {
  test('is not followed where it is a symlink, which goes so that systemd finds nothing behind it', async () => {
    await using bench = await requestBench()
    const victim = join(bench.folder, 'victim')
    await mkdir(victim)
    await writeFile(join(victim, 'daemon.json'), 'precious')
    await rm(bench.requestsFolder, { recursive: true })
    await symlink(victim, bench.requestsFolder)
    expect(await bench.handle()).toBe('finished')
    expect(await readFile(join(victim, 'daemon.json'), 'utf8')).toBe('precious')
    await expect(lstat(bench.requestsFolder)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test.runIf(isRoot)("is not looked into where it is somebody else's", async () => {
    await using bench = await requestBench()
    await bench.put('r1.json', reboot)
    await chown(bench.requestsFolder, 0, 0)
    await expect(bench.handle()).rejects.toThrow("is not the agent's")
    expect(await namesIn(bench.requestsFolder)).toEqual(['r1.json'])
  })

  test('may be gone', async () => {
    await using bench = await requestBench()
    await rm(bench.requestsFolder, { recursive: true })
    expect(await bench.handle()).toBe('finished')
  })

  test.skipIf(noMount !== undefined)('makes the run stay and go on when something in it cannot leave', async () => {
    await using bench = await requestBench()
    const stuck = join(bench.requestsFolder, 'stuck.json')
    await mkdir(stuck)
    await using _ = await mountSmallDisk(stuck)
    const run = bench.handle({ patienceMs: 1_500 })
    await until(() => bench.lines.length > 0)
    await bench.put('late.json', reboot)
    expect(await run).toBe('stuck')
    expect(await bench.answer('late')).toEqual(done)
    expect(bench.lines).toEqual([
      'stuck.json: it can be neither moved nor removed',
      'request late.json reboot: done ok',
    ])
  })

  test.skipIf(noMount !== undefined)('loses what cannot be moved to another file system, and says so', async () => {
    await using bench = await requestBench()
    await using _ = await mountSmallDisk(bench.workFolder)
    await chmod(bench.workFolder, 0o700)
    await bench.put('r1.json', reboot)
    expect(await bench.handle()).toBe('finished')
    expect(await namesIn(bench.requestsFolder)).toEqual([])
    expect(await bench.systemctlCalls()).toEqual([])
    expect(bench.lines).toEqual([`r1.json: removed unread: it cannot be moved to ${bench.workFolder}`])
  })
})

describe("root's own folder", () => {
  test('is made where it is not there', async () => {
    await using bench = await requestBench()
    await rm(bench.workFolder, { recursive: true })
    await bench.put('r1.json', reboot)
    expect(await bench.handle()).toBe('finished')
    expect((await stat(bench.workFolder)).mode & 0o7777).toBe(0o700)
  })

  test.each([0o755, 0o770])('is not used where others get into it: %o', async (mode) => {
    await using bench = await requestBench()
    await chmod(bench.workFolder, mode)
    await bench.put('r1.json', reboot)
    await expect(bench.handle()).rejects.toThrow("has to be root's alone")
    expect(await bench.systemctlCalls()).toEqual([])
  })

  test('is cleared, run by run, of a tree that is more than one may remove, and requests go on', async () => {
    await using bench = await requestBench()
    const tree = join(bench.requestsFolder, 'tree.json', ...Array.from({ length: 12 }, () => 'deeper'))
    for (let count = 0; count < 100; count += 1) await mkdir(join(tree, String(count)), { recursive: true })
    await bench.put('r0.json', reboot)
    await bench.handle({ maxCleared: 50 })
    expect(await bench.answer('r0')).toEqual(done)
    expect(await namesIn(bench.workFolder)).not.toEqual([])
    for (const run of ['r1', 'r2', 'r3']) {
      await bench.put(`${run}.json`, reboot)
      await bench.handle({ maxCleared: 50 })
      expect(await bench.answer(run)).toEqual(done)
    }
    await expectNothingLeft(bench)
  })

  test('is cleared of what a run left that was cut off', async () => {
    await using bench = await requestBench()
    await mkdir(join(bench.workFolder, 'taken-1', 'deep'), { recursive: true })
    await symlink(bench.configFolder, join(bench.workFolder, 'taken-2'))
    await writeFile(join(bench.workFolder, 'answer-3'), '')
    await bench.handle()
    expect(await namesIn(bench.workFolder)).toEqual([])
    expect(await namesIn(bench.configFolder)).toEqual(['allowed', 'hooks'])
  })
})
