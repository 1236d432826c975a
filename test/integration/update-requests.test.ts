import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'
import { chmod, chown, copyFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { namesIn, requestBench, type RequestBench } from '../support/request-bench.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
const installed = '1.0.0'
const done = { result: 'done', code: 'ok' }
const vendor = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const owned = new AsyncDisposableStack()
const packages = owned.use(await tempFolder())

beforeAll(async () => {
  for (const version of [installed, '1.1.0', '1.1.0~rc.2', '1.1.0~rc.10', '0.9.0', '1.0.0~rc.1'])
    await makePackage({ version })
  await makePackage({ name: 'other-agent', version: '1.1.0' })
  await makePackage({ version: '1.1.0', arch: 'riscv64' })
})

afterAll(async () => {
  await owned.disposeAsync()
})

interface PackageSpec {
  readonly name?: string
  readonly version: string
  readonly arch?: string
}

async function makePackage({ name = 'panorama-agent', version, arch = architecture }: PackageSpec): Promise<void> {
  const tree = join(packages.path, 'tree')
  await mkdir(join(tree, 'DEBIAN'), { recursive: true })
  const fields = { Package: name, Version: version, Architecture: arch, Maintainer: 'nobody', 'Installed-Size': 1 }
  const control = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`)
  await writeFile(join(tree, 'DEBIAN/control'), `${control.join('')}Description: a test\n`)
  await chmod(join(tree, 'DEBIAN'), 0o755)
  await runCommand('dpkg-deb', ['--build', '--root-owner-group', tree, debOf({ name, version, arch })])
  await rm(tree, { recursive: true })
}

function debOf({ name = 'panorama-agent', version, arch = architecture }: PackageSpec): string {
  return join(packages.path, `${name}_${version}_${arch}.deb`)
}

/** An appliance with version 1.0.0, its way back, and the vendor's key; the artifact is empty. */
async function appliance(): Promise<RequestBench> {
  const bench = await requestBench()
  const { folder } = bench
  const at = (...parts: readonly string[]): string => join(folder, ...parts)
  for (const path of ['etc/update-keys', 'update', 'lib/native', 'units', 'dpkg/info', 'artifacts/agent/releases/r1'])
    await mkdir(at(path), { recursive: true, mode: 0o755 })
  await symlink('releases/r1', at('artifacts/agent/current'))
  await writeFile(at('etc/update-keys/vendor.pem'), vendor.publicKey.export({ type: 'spki', format: 'pem' }))
  await copyFile(debOf({ version: installed }), at('update/installed.deb'))
  for (const file of ['node', 'native/update-runner.cjs', 'panorama-agent-update.service'])
    await writeFile(at('lib', file), `${file}\n`)
  await writeFile(at('bin-dpkg'), '#!/bin/sh\nexec dpkg "$@"\n', { mode: 0o755 })
  await writeFile(at('bin-dpkg-query'), `#!/bin/sh\necho 'ii  ${installed}'\n`, { mode: 0o755 })
  await bench.allow('install-update', 'agent')
  return bench
}

const release = 'artifacts/agent/releases/r1'

async function publish(bench: RequestBench, spec: PackageSpec, key: KeyObject = vendor.privateKey): Promise<string> {
  const file = join(bench.folder, release, `panorama-agent_${spec.version}_${architecture}.deb`)
  await copyFile(debOf(spec), file)
  const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  await writeFile(`${file}.sig`, sign(algorithm, await readFile(file), key))
  return file
}

async function ask(bench: RequestBench, verb: string, argument: string): Promise<unknown> {
  const id = randomUUID()
  await bench.put(`${id}.json`, JSON.stringify({ verb, argument }))
  await bench.handle()
  return await bench.answer(id)
}

async function trialOf({ folder }: RequestBench): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, 'update/trial.json'), 'utf8')) as unknown
}

async function expectUnchanged(bench: RequestBench): Promise<void> {
  expect(await namesIn(join(bench.folder, 'update'))).toEqual(['incoming', 'installed.deb'])
  expect(await namesIn(join(bench.folder, 'update/incoming'))).toEqual([])
  expect(await namesIn(join(bench.folder, 'units'))).toEqual([])
  expect((await bench.systemctlCalls()).filter((call) => !call.startsWith('stop'))).toEqual([])
}

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
  expect(await read('update/previous.deb')).toEqual(await readFile(debOf({ version: installed })))
  expect(await namesIn(join(bench.folder, 'update/program'))).toEqual(['node', 'update-runner.cjs'])
  expect(String(await read('units/multi-user.target.wants/panorama-agent-update.service'))).toContain('update')
  const runner = 'panorama-agent-update.service'
  expect(await bench.systemctlCalls()).toEqual([`stop ${runner}`, 'daemon-reload', `start ${runner}`])
})

test.each([
  ['1.1.0~rc.2', '1.1.0~rc.10'],
  ['1.1.0~rc.10', '1.1.0'],
  ['1.0.0', '1.1.0~rc.2'],
])('goes up from %s to %s', async (from, to) => {
  await using bench = await appliance()
  await hasInstalled(bench, from)
  await publish(bench, { version: to })
  expect(await ask(bench, 'install-update', 'agent:60')).toEqual(done)
  expect(await trialOf(bench)).toMatchObject({ from, to })
})

test.each([
  ['1.1.0', '1.1.0~rc.10'],
  ['1.1.0~rc.10', '1.1.0~rc.2'],
  ['1.0.0', '1.0.0~rc.1'],
])('does not go down from %s to %s', async (from, to) => {
  await using bench = await appliance()
  await hasInstalled(bench, from)
  await publish(bench, { version: to })
  expect(await ask(bench, 'install-update', 'agent:60')).toEqual({ result: 'refused', code: 'not-newer' })
  await expectUnchanged(bench)
})

async function hasInstalled({ folder }: RequestBench, version: string): Promise<void> {
  await writeFile(join(folder, 'bin-dpkg-query'), `#!/bin/sh\necho 'ii  ${version}'\n`, { mode: 0o755 })
  await copyFile(debOf({ version }), join(folder, 'update/installed.deb'))
}

test('takes the version that is expected, and no other, whatever the release holds by then', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const argument = 'agent:60:abcdef0123456789'
  const unexpected = { result: 'refused', code: 'unexpected-version' }
  expect(await ask(bench, 'install-update', `${argument}:1.2.0`)).toEqual(unexpected)
  expect(await ask(bench, 'install-update', `${argument}:1.1.0~rc.1`)).toEqual(unexpected)
  await expectUnchanged(bench)
  expect(await ask(bench, 'install-update', `${argument}:1.1.0`)).toEqual(done)
})

test('looks for the version behind the signature alone', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' }, other.privateKey)
  expect(await ask(bench, 'install-update', 'agent:60:abcdef0123456789:1.2.0')).toMatchObject({ code: 'bad-signature' })
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
    (file: string) => copyFile(debOf({ version: '0.9.0' }), file),
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

test('takes the confirmation of a release candidate', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0~rc.2' })
  await ask(bench, 'install-update', 'agent')
  await setPhase(bench, 'watching')
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'refused', code: 'other-version' })
  expect(await ask(bench, 'confirm-update', '1.1.0~rc.2')).toEqual(done)
})

test('takes the confirmation of the version on trial, once dpkg is through with it', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'refused', code: 'no-trial' })
  await ask(bench, 'install-update', 'agent')
  expect(await ask(bench, 'confirm-update', installed)).toEqual({ result: 'refused', code: 'other-version' })
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'failed', code: 'not-yet' })
  await setPhase(bench, 'watching')
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual(done)
  expect(await namesIn(join(bench.folder, 'update'))).toContain('confirmed')
  await setPhase(bench, 'reverting')
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'refused', code: 'too-late' })
})

async function setPhase(bench: RequestBench, phase: string): Promise<void> {
  const trial = await trialOf(bench)
  await writeFile(join(bench.folder, 'update/trial.json'), JSON.stringify(Object.assign({}, trial, { phase })))
}

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
