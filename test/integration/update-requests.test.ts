import { chmod, chown, copyFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { sign, type KeyObject } from 'node:crypto'
import { join } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { namesIn, type RequestBench } from '../support/request-bench.ts'
import { tempFolder } from '../support/temp-folder.ts'
import {
  architecture,
  ask,
  done,
  expectUnchanged,
  installed,
  otherKey as other,
  release,
  trialOf,
  updateBenches,
  vendorKey as vendor,
} from '../support/update-bench.ts'

const owned = new AsyncDisposableStack()
const { appliance, publish, debOf } = updateBenches(owned.use(await tempFolder()).path)

afterAll(async () => {
  await owned.disposeAsync()
})

test('puts a signed package on trial, with the way back and its runner beside it', async () => {
  await using bench = await appliance()
  const file = await publish(bench, { version: '1.1.0' })
  expect(await ask(bench, 'install-update', 'agent:300:abcdef0123456789')).toEqual(done)
  expect(await trialOf(bench)).toEqual({
    version: 1,
    id: 'abcdef0123456789',
    from: installed,
    to: '1.1.0',
    confirmSeconds: 300,
    phase: 'installing',
    begun: 0,
  })
  const read = async (path: string) => await readFile(join(bench.folder, path))
  expect(await read('update/candidate.deb')).toEqual(await readFile(file))
  expect(await read('update/previous.deb')).toEqual(await readFile(await debOf({ version: installed })))
  expect(await namesIn(join(bench.folder, 'update/program'))).toEqual(['node', 'update-runner.cjs'])
  expect(String(await read('units/multi-user.target.wants/panorama-agent-update.service'))).toContain('update')
  const runner = 'panorama-agent-update.service'
  expect(await bench.systemctlCalls()).toEqual([`stop ${runner}`, 'daemon-reload', `start ${runner}`])
})

test('takes any of the keys, Ed25519 or P-256', async () => {
  await using bench = await appliance()
  await writeFile(join(bench.folder, 'etc/update-keys/next.pem'), pem(other.publicKey))
  await publish(bench, { version: '1.1.0' }, other.privateKey)
  expect(await ask(bench, 'install-update', 'agent')).toEqual(done)
  expect(await trialOf(bench)).toMatchObject({ confirmSeconds: 600 })
})

type Prepare = (bench: RequestBench) => Promise<unknown>
const at = ({ folder }: RequestBench, path: string): string => join(folder, path)
const refusals: readonly (readonly [string, string, Prepare])[] = [
  ['nothing that is published', 'no-package', () => Promise.resolve()],
  ['a signature of another key', 'bad-signature', (bench) => publish(bench, { version: '1.1.0' }, other.privateKey)],
  [
    'a package with one byte changed',
    'bad-signature',
    async (bench) => {
      const file = await publish(bench, { version: '1.1.0' })
      const bytes = await readFile(file)
      bytes[bytes.length - 9] = (bytes.at(-9) ?? 0) ^ 1
      await writeFile(file, bytes)
    },
  ],
  [
    'a package that is cut short',
    'bad-signature',
    async (bench) => {
      await truncate(await publish(bench, { version: '1.1.0' }), 200)
    },
  ],
  [
    'an empty signature',
    'bad-signature',
    async (bench) => {
      await truncate(`${await publish(bench, { version: '1.1.0' })}.sig`, 0)
    },
  ],
  [
    'a signature that is larger than any',
    'no-signature',
    async (bench) => {
      await writeFile(`${await publish(bench, { version: '1.1.0' })}.sig`, 'x'.repeat(1_025))
    },
  ],
  [
    'no signature',
    'no-signature',
    async (bench) => {
      await rm(`${await publish(bench, { version: '1.1.0' })}.sig`)
    },
  ],
  [
    'a symlink in the place of the package',
    'no-package',
    async (bench) => {
      const file = await publish(bench, { version: '1.1.0' })
      await rename(file, at(bench, 'elsewhere.deb'))
      await symlink(at(bench, 'elsewhere.deb'), file)
    },
  ],
  [
    'a current release that lies elsewhere',
    'no-release',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      await rename(at(bench, release), at(bench, 'elsewhere'))
      await symlink(at(bench, 'elsewhere'), at(bench, release))
    },
  ],
  [
    'two packages',
    'more-than-one-package',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      await publish(bench, { version: '0.9.0' })
    },
  ],
  [
    'a signed package of another name',
    'other-package',
    (bench) => publish(bench, { name: 'other-agent', version: '1.1.0' }),
  ],
  [
    'a signed package for another machine',
    'other-architecture',
    (bench) => publish(bench, { version: '1.1.0', arch: 'riscv64' }),
  ],
  ['an older version', 'not-newer', (bench) => publish(bench, { version: '0.9.0' })],
  [
    'what is signed and no package',
    'not-a-package',
    async (bench) => {
      const file = join(bench.folder, release, `panorama-agent_1.1.0_${architecture}.deb`)
      await writeFile(file, 'no package')
      await writeFile(`${file}.sig`, sign(null, Buffer.from('no package'), vendor.privateKey))
    },
  ],
  [
    'a version under the name of another',
    'version-not-as-named',
    async (bench) => {
      const file = await publish(bench, { version: '1.1.0' })
      for (const end of ['', '.sig']) await rename(`${file}${end}`, `${file.replace('1.1.0', '1.2.0')}${end}`)
    },
  ],
  [
    'anything while there is no key',
    'no-update-key',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      await rm(at(bench, 'etc/update-keys/vendor.pem'))
    },
  ],
  [
    'anything while only a private key is there',
    'no-update-key',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      const text = vendor.privateKey.export({ type: 'pkcs8', format: 'pem' })
      await writeFile(at(bench, 'etc/update-keys/vendor.pem'), text)
    },
  ],
  [
    'anything while others may write a key',
    'key-not-trusted',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      await chmod(at(bench, 'etc/update-keys/vendor.pem'), 0o666)
    },
  ],
  [
    'anything while others may write the folder of the keys',
    'key-not-trusted',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      await chmod(at(bench, 'etc/update-keys'), 0o777)
    },
  ],
  [
    'an artifact that is not listed',
    'argument-not-allowed',
    async (bench) => {
      await publish(bench, { version: '1.1.0' })
      await bench.allow('install-update', 'other')
    },
  ],
]

test.each(refusals)('refuses %s, and changes nothing', async (_what, code, prepare) => {
  await using bench = await appliance()
  await prepare(bench)
  expect(await ask(bench, 'install-update', 'agent:300')).toEqual({ result: 'refused', code })
  await expectUnchangedIfAsked(bench)
})

/** What is refused by the list has not even made the folder for what comes in. */
async function expectUnchangedIfAsked(bench: RequestBench): Promise<void> {
  await mkdir(join(bench.folder, 'update/incoming'), { recursive: true })
  await expectUnchanged(bench)
}

test.each([
  ['no package of what is installed is kept', (file: string) => rm(file)],
  [
    'another version is kept than the one that is installed',
    async (file: string) => {
      await copyFile(await debOf({ version: '0.9.0' }), file)
    },
  ],
  ['what is kept is damaged', (file: string) => truncate(file, 100)],
])('refuses an update while %s', async (_what, damage) => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  await damage(join(bench.folder, 'update/installed.deb'))
  expect(await ask(bench, 'install-update', 'agent')).toEqual({ result: 'refused', code: 'no-way-back' })
  expect((await bench.systemctlCalls()).filter((call) => call.startsWith('start'))).toEqual([])
  expect(await namesIn(join(bench.folder, 'units'))).toEqual([])
})

const noVersion = 'agent:60:abcdef0123456789:rc.1'
test.each([
  'agent:9',
  'agent:3601',
  'agent:x',
  'agent:60:short',
  'agent:60:abcdef0123456789:',
  noVersion,
  '../agent',
  'a/b',
])('refuses the argument %s', async (argument) => {
  await using bench = await appliance()
  await bench.allow('install-update', 'agent', '..')
  expect(await ask(bench, 'install-update', argument)).toMatchObject({ result: 'refused' })
  await expectUnchangedIfAsked(bench)
})

test('has nothing to do where this very package is installed', async () => {
  await using bench = await appliance()
  await publish(bench, { version: installed })
  expect(await ask(bench, 'install-update', 'agent')).toEqual({ result: 'done', code: 'already-installed' })
  await expectUnchanged(bench)
})

test('tries one update at a time, and one for each id', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  expect(await ask(bench, 'install-update', 'agent:60:firstfirst')).toEqual(done)
  expect(await ask(bench, 'install-update', 'agent:60:firstfirst')).toEqual(done)
  expect(await ask(bench, 'install-update', 'agent:60:secondsecond')).toMatchObject({ code: 'update-under-way' })
  expect((await bench.systemctlCalls()).filter((call) => call.startsWith('start'))).toHaveLength(1)
  await writeFile(join(bench.folder, 'update/last-update.json'), '{"version":1,"id":"firstfirst"}')
  await rm(join(bench.folder, 'update/trial.json'))
  expect(await ask(bench, 'install-update', 'agent:60:firstfirst')).toMatchObject({ code: 'asked-before' })
})

test('begins no update while one is on trial that this version does not understand', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const text = '{"version":2,"id":"firstfirst","phase":"watching"}'
  await writeFile(join(bench.folder, 'update/trial.json'), text)
  expect(await ask(bench, 'install-update', 'agent')).toEqual({ result: 'refused', code: 'update-under-way' })
  expect(await readFile(join(bench.folder, 'update/trial.json'), 'utf8')).toBe(text)
})

test('leaves nothing under way when the runner cannot be started', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const systemctl = join(bench.folder, 'failing')
  await writeFile(systemctl, '#!/bin/sh\n[ "$1" = daemon-reload ]\n', { mode: 0o755 })
  await bench.put('start.json', JSON.stringify({ verb: 'install-update', argument: 'agent' }))
  await bench.handle({ systemctl })
  expect(await bench.answer('start')).toEqual({ result: 'failed', code: 'exit-code-1' })
  expect(await namesIn(join(bench.folder, 'update'))).toEqual(['incoming', 'installed.deb'])
})

/** A systemctl that does, in the folder of the bench, what a line of shell for each verb says. */
async function askWith(bench: RequestBench, verbs: Readonly<Record<string, string>>): Promise<unknown> {
  const systemctl = join(bench.folder, 'scripted')
  const cases = Object.entries(verbs).map(([verb, line]) => `${verb}) ${line} ;;\n`)
  await writeFile(systemctl, `#!/bin/sh\ncd ${bench.folder}\ncase "$1" in\n${cases.join('')}esac\n`, { mode: 0o755 })
  await bench.put('start.json', JSON.stringify({ verb: 'install-update', argument: 'agent' }))
  await bench.handle({ systemctl })
  return await bench.answer('start')
}

const begins = `sed -i 's/"begun":0/"begun":1/' update/trial.json`

test('takes away nothing that a runner uses which has begun although systemctl failed', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  expect(await askWith(bench, { start: `${begins}; exit 1` })).toEqual(done)
  const kept = ['candidate.deb', 'incoming', 'installed.deb', 'previous.deb', 'program', 'trial.json']
  expect(await namesIn(join(bench.folder, 'update'))).toEqual(kept)
  expect(await namesIn(join(bench.folder, 'units'))).toContain('panorama-agent-update.service')
})

test('starts a runner again that began while it was called back', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const start = `echo "$*" >>starts; exit 1`
  expect(await askWith(bench, { start, stop: `[ ! -e starts ] || ${begins}` })).toEqual(done)
  const starts = (await readFile(join(bench.folder, 'starts'), 'utf8')).split('\n')
  expect(starts).toHaveLength(3)
  expect(await trialOf(bench)).toMatchObject({ begun: 1 })
})

test('lets the runner of the trial before come to its end first: it would take away what is put in place', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const tidyUp = 'rm -rf update/incoming update/candidate.deb update/previous.deb update/program units/*'
  const start = `[ -e stopped ] || { ${tidyUp}; }` // one that runs already is not started
  expect(await askWith(bench, { start, stop: 'touch stopped' })).toEqual(done)
  expect(await namesIn(join(bench.folder, 'update'))).toContain('candidate.deb')
  expect(await namesIn(join(bench.folder, 'units'))).toContain('panorama-agent-update.service')
  expect(await namesIn(join(bench.folder, 'update'))).toContain('program')
})

test('leaves nothing under way when something is missing that it needs', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  await rm(join(bench.folder, 'lib/panorama-agent-update.service'))
  expect(await ask(bench, 'install-update', 'agent')).toEqual({ result: 'failed', code: 'internal-error' })
  expect(await namesIn(join(bench.folder, 'update'))).toEqual(['incoming', 'installed.deb'])
  expect(await namesIn(join(bench.folder, 'units'))).toEqual([])
})

function pem(key: KeyObject): string | Buffer {
  return key.export({ type: 'spki', format: 'pem' })
}

const isRoot = process.getuid?.() === 0
if (!isRoot) console.log('skipped, because only root can give files to another user: whose keys are believed')

test.skipIf(!isRoot)('believes no key, and uses no folder, that is not its own', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const key = join(bench.folder, 'etc/update-keys/vendor.pem')
  await chown(key, bench.agent.uid, bench.agent.gid)
  expect(await ask(bench, 'install-update', 'agent')).toEqual({ result: 'refused', code: 'key-not-trusted' })
  await chown(key, 0, 0)
  await chown(join(bench.folder, 'update'), bench.agent.uid, bench.agent.gid)
  expect(await ask(bench, 'install-update', 'agent')).toEqual({ result: 'failed', code: 'internal-error' })
})
