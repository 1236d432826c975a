import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect, test } from 'vitest'
import { z } from 'zod'

import { applianceWorld } from '../../agent/request-handler/update/appliance-world.ts'
import { runTrial, type TrialWorld } from '../../agent/request-handler/update/run-trial.ts'
import type { Trial } from '../../agent/request-handler/update/trial.ts'
import { placeRunner } from '../../agent/request-handler/update/trial-runner.ts'
import { UpdateFolder } from '../../agent/request-handler/update/update-folder.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const never = new AbortController().signal
const trial: Trial = {
  version: 1,
  id: 'job1',
  from: '1.0.0',
  to: '1.1.0',
  confirmSeconds: 60,
  phase: 'installing',
  begun: 0,
}

/**
 * A dpkg that installs by writing down the version: of `previous.deb` 1.0.0, of `candidate.deb` 1.1.0. What the file `faults`
 * holds, line by line, is what goes wrong at one call after the other.
 */
const dpkg = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >>calls
case "$*" in *--install*) ;; *) exit 0 ;; esac
fault=$(sed -n 1p faults); sed -i 1d faults
case "$fault" in
  locked) echo 'dpkg: error: dpkg frontend lock was locked by another process with pid 1' >&2; exit 2 ;;
  broken) echo 'dpkg: error processing package panorama-agent (--install):' >&2; echo 'iF 1.1.0' >status; exit 1 ;;
esac
case "$*" in *previous.deb) echo 'ii  1.0.0' >status ;; *) echo 'ii  1.1.0' >status ;; esac
`

interface Bench extends AsyncDisposable {
  readonly at: (...parts: readonly string[]) => string
  readonly folder: UpdateFolder
  readonly world: TrialWorld
  readonly lines: readonly string[]
  readonly calls: () => Promise<readonly string[]>
  readonly last: () => Promise<unknown>
}

/** An appliance with version 1.0.0 that has 1.1.0 on trial, whose agent systemd shows as `unit`. */
async function bench({
  faults = [],
  unit = 'ActiveState=active\nNRestarts=0\nStatusText=',
}: { readonly faults?: readonly string[]; readonly unit?: string } = {}): Promise<Bench> {
  const temporary = await tempFolder()
  const at = (...parts: readonly string[]): string => join(temporary.path, ...parts)
  for (const path of ['lib/native', 'units', 'dpkg/info', 'dpkg/updates']) await mkdir(at(path), { recursive: true })
  const files = {
    'lib/node': 'node',
    'lib/native/update-runner.cjs': 'runner',
    'lib/panorama-agent-update.service': 'unit',
    'dpkg/info/panorama-agent.prerm': 'prerm',
    status: 'ii  1.0.0\n',
    faults: faults.map((fault) => `${fault}\n`).join(''),
    calls: '',
    'bin-dpkg': dpkg,
    'bin-dpkg-query': '#!/bin/sh\ncat "$(dirname "$0")/status"\n',
    systemctl: `#!/bin/sh\necho "systemctl $*" >>"$(dirname "$0")/calls"\n[ "$1" != show ] || printf '%s\\n' '${unit}'\n`,
  }
  for (const [name, text] of Object.entries(files)) await writeFile(at(name), text)
  for (const name of ['bin-dpkg', 'bin-dpkg-query', 'systemctl']) await chmod(at(name), 0o755)
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()]
  const folder = new UpdateFolder(at('update'), { uid, gid })
  for (const [path, text] of [
    [folder.installed, 'old package'],
    [at('verified'), 'new package'],
  ] as const)
    await writeFile(path, text)
  folder.stage(at('verified'))
  folder.save(trial)
  const update = {
    folder: at('update'),
    artifacts: at('artifacts'),
    programs: at('lib'),
    units: at('units'),
    root: at('root'),
    dpkgFolder: at('dpkg'),
    dpkg: at('bin-dpkg'),
    dpkgDeb: 'dpkg-deb',
    dpkgQuery: at('bin-dpkg-query'),
  }
  placeRunner(update, folder)
  const lines: string[] = []
  const world = applianceWorld({
    folder,
    update,
    systemctl: at('systemctl'),
    nowMs: () => Date.UTC(2027, 0, 1),
    lockPollMs: 1,
    print: (line) => {
      lines.push(line)
    },
  })
  return {
    at,
    folder,
    world: { ...world, rest: () => Promise.resolve() },
    lines,
    calls: async () => (await readFile(at('calls'), 'utf8')).split('\n').filter((call) => !call.includes('show')),
    last: async () => JSON.parse(await readFile(at('update/last-update.json'), 'utf8')) as unknown,
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
}

function expectNothingLeft({ at, folder }: Bench): void {
  for (const path of [folder.candidate, folder.previous, folder.program, at('update/trial.json')])
    expect(existsSync(path), path).toBe(false)
  expect(existsSync(at('units/panorama-agent-update.service'))).toBe(false)
  expect(existsSync(at('units/multi-user.target.wants/panorama-agent-update.service'))).toBe(false)
}

test('installs a version, keeps its package once it is confirmed, and takes everything else away', async () => {
  await using made = await bench()
  made.folder.confirm(trial)
  await runTrial(made.world, never)
  expect(await made.last()).toEqual({
    version: 1,
    id: 'job1',
    from: '1.0.0',
    to: '1.1.0',
    outcome: 'confirmed',
    endedAt: '2027-01-01T00:00:00.000Z',
  })
  expect(await readFile(made.folder.installed, 'utf8')).toBe('new package')
  expectNothingLeft(made)
  const installs = (await made.calls()).filter((call) => call.includes('--install'))
  expect(installs).toHaveLength(1)
})

test('tells until when the version has to be confirmed, on the clock that counts from the boot', async () => {
  await using made = await bench()
  const uptimeMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)
  const read = async () => told.parse(JSON.parse(await readFile(made.at('update/trial.json'), 'utf8')))
  const before = uptimeMs()
  const seen: (number | undefined)[] = []
  const watch = async () => {
    seen.push((await read()).confirmByUptimeMs)
    return { kind: 'failed', reason: 'not confirmed' } as const
  }
  const revert = async () => {
    seen.push((await read()).confirmByUptimeMs)
    return { kind: 'reverted' } as const
  }
  await runTrial({ ...made.world, watch, revert }, never)
  expect(seen).toEqual([expect.any(Number), undefined])
  expect(seen[0]).toBeGreaterThanOrEqual(before + 60_000)
  expect(seen[0]).toBeLessThanOrEqual(uptimeMs() + 60_000)
})

const told = z.object({ confirmByUptimeMs: z.number().optional() })

test('waits while somebody else has the lock of dpkg', async () => {
  await using made = await bench({ faults: ['locked', 'locked'] })
  made.folder.confirm(trial)
  await runTrial(made.world, never)
  expect(await made.last()).toMatchObject({ outcome: 'confirmed' })
  expect((await made.calls()).filter((call) => call.includes('candidate.deb'))).toHaveLength(3)
  expect(made.lines).toContain('somebody else has the lock of dpkg: waiting')
})

test('goes back from what dpkg cannot install, and says why', async () => {
  await using made = await bench({ faults: ['broken'] })
  await runTrial(made.world, never)
  expect(await made.last()).toMatchObject({
    outcome: 'rolled-back',
    reason: 'it cannot be installed: dpkg: dpkg: error processing package panorama-agent (--install):',
  })
  expect(await readFile(made.folder.installed, 'utf8')).toBe('old package')
  expectNothingLeft(made)
})

test('goes back from a version that lies there, and leaves out its scripts when the first try fails', async () => {
  await using made = await bench({
    faults: ['', 'broken'],
    unit: 'ActiveState=failed\nNRestarts=3\nStatusText=',
  })
  const starts = { ...made.world, watch: () => Promise.resolve({ kind: 'failed', reason: 'it failed' } as const) }
  await runTrial(starts, never)
  expect(await made.last()).toMatchObject({ outcome: 'rolled-back', reason: 'it failed' })
  expect(existsSync(made.at('dpkg/info/panorama-agent.prerm'))).toBe(false)
  expect(await made.calls()).toContain('systemctl start panorama-agent.service')
})

/** A dpkg that fails to install, and then to go back four times; the files of the new version are half there. */
async function stuckBench(kilobytes: number): Promise<Bench> {
  const made = await bench({ faults: Array.from({ length: 5 }, () => 'broken') })
  const file = 'usr/lib/panorama-agent/native/agent.cjs'
  const tree = { 'DEBIAN/control': control(kilobytes), [file]: 'of version 1.0.0' }
  for (const [path, text] of Object.entries(tree)) {
    await mkdir(dirname(made.at('tree', path)), { recursive: true, mode: 0o755 })
    await writeFile(made.at('tree', path), text)
  }
  await runCommand('dpkg-deb', ['--build', '--root-owner-group', made.at('tree'), made.folder.previous])
  await mkdir(dirname(made.at('root', file)), { recursive: true })
  await writeFile(made.at('root', file), 'half of 1.1.0')
  return made
}

function control(kilobytes: number): string {
  const fields = { Package: 'panorama-agent', Version: '1.0.0', Architecture: 'all', Maintainer: 'nobody' }
  const lines = Object.entries({ ...fields, 'Installed-Size': kilobytes }).map(([key, value]) => `${key}: ${value}\n`)
  return `${lines.join('')}Description: a test\n`
}

const restart = 'systemctl restart panorama-agent.service'

test('unpacks the bare files of a package of the version before where dpkg cannot go back', async () => {
  await using made = await stuckBench(1)
  await runTrial(made.world, never)
  expect(await readFile(made.at('root/usr/lib/panorama-agent/native/agent.cjs'), 'utf8')).toBe('of version 1.0.0')
  expect(await made.calls()).toContain(restart)
  expect(await made.last()).toMatchObject({ outcome: 'rolled-back' })
})

test.each([
  ['there is no room for them', 2 ** 40, () => Promise.resolve(), 'there is no room to unpack its files'],
  ['they cannot be read', 1, (file: string) => writeFile(file, 'no package'), 'its package cannot be read'],
])('touches no file where %s, and says so', async (_what, kilobytes, damage, why) => {
  await using made = await stuckBench(kilobytes)
  await damage(made.folder.previous)
  await runTrial(made.world, never)
  expect(await readFile(made.at('root/usr/lib/panorama-agent/native/agent.cjs'), 'utf8')).toBe('half of 1.1.0')
  expect(await made.calls()).not.toContain(restart)
  expect(made.lines).toContain(why)
})

test('tells in the end what kept it from going back', async () => {
  await using made = await stuckBench(2 ** 40)
  await writeFile(made.at('faults'), 'broken\n'.repeat(20))
  await runTrial(made.world, never)
  const { outcome, reason } = lastSchema.parse(await made.last())
  expect(outcome).toBe('stuck')
  expect(reason).toMatch(/cannot be installed either: dpkg: .*; there is no room to unpack its files$/)
})

const lastSchema = z.object({ outcome: z.string(), reason: z.string() })

test('leaves a version that somebody installed by hand during the trial, and its package as the way back', async () => {
  await using made = await bench()
  const watch = async () => {
    await writeFile(made.at('status'), 'ii  1.2.0\n')
    await writeFile(made.at('by-hand'), 'package of 1.2.0')
    await rename(made.at('by-hand'), made.folder.installed)
    return { kind: 'failed', reason: 'not confirmed' } as const
  }
  await runTrial({ ...made.world, watch }, never)
  expect((await made.calls()).filter((call) => call.includes('previous.deb'))).toEqual([])
  const reason = 'not confirmed; version 1.2.0, which was installed meanwhile, stays'
  expect(await made.last()).toMatchObject({ outcome: 'rolled-back', reason })
  expect(await readFile(made.folder.installed, 'utf8')).toBe('package of 1.2.0')
  expectNothingLeft(made)
})

test('finishes what a power cut left of dpkg before it goes on', async () => {
  await using made = await bench()
  made.folder.save({ ...trial, begun: 1 })
  made.folder.confirm(trial)
  await runTrial(made.world, never)
  const [first, second] = await made.calls()
  expect(first).toMatch(/^--configure -a/)
  expect(second).toContain('--install')
})

test('does not install again what was there before a power cut', async () => {
  await using made = await bench()
  await writeFile(made.at('status'), 'ii  1.1.0\n')
  made.folder.save({ ...trial, begun: 1 })
  made.folder.confirm(trial)
  await runTrial(made.world, never)
  expect((await made.calls()).filter((call) => call.includes('--install'))).toEqual([])
  expect(await made.last()).toMatchObject({ outcome: 'confirmed' })
})

test('takes itself away where there is no trial any more', async () => {
  await using made = await bench()
  made.folder.abandon()
  await runTrial(made.world, never)
  expectNothingLeft(made)
  expect(existsSync(made.at('update/last-update.json'))).toBe(false)
})
