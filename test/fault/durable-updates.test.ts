import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { expect, it } from 'vitest'

import { isSyncedAfter, whatIsNotDurable } from '../support/durable-calls.ts'
import { requestBench } from '../support/request-bench.ts'
import { runCommand } from '../support/run-command.ts'
import { publishUpdate } from '../support/signed-package.ts'
import { mountSmallDisk, whyNoMount } from '../support/small-disk.ts'
import { whyNoStrace } from '../support/strace.ts'
import { parseSystemCalls } from '../support/system-calls.ts'
import { tempFolder } from '../support/temp-folder.ts'

const noStrace = await whyNoStrace()
const why = noStrace ?? (await whyNoMount())
if (why !== undefined) console.log(`skipped, because strace or mount does not work here: ${why}`)

const moduleOf = (name: string): string =>
  JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../agent/request-handler/update', name)).href)

const traced = 'openat,fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,pwrite64,writev'

it.skipIf(noStrace !== undefined)(
  'reads what the agent may change once, and syncs each document and package of an update that gets its name',
  async () => {
    await using bench = await requestBench()
    const deb = await publishUpdate(bench)
    const { configFolder, owner, systemctl, update } = bench.options
    const folder = join(bench.folder, 'update')
    const script = `
      const { installUpdate } = await import(${moduleOf('install-update.ts')})
      const { UpdateFolder } = await import(${moduleOf('update-folder.ts')})
      const options = ${JSON.stringify({ configFolder, owner, systemctl, update })}
      console.log(JSON.stringify(await installUpdate('agent:300:abcdef0123456789', { ...options, print: () => {} })))
      const folder = new UpdateFolder(options.update.folder, options.owner)
      folder.save({ ...folder.trial(), phase: 'watching' })
      folder.confirm(folder.trial())`
    const trace = join(bench.folder, 'trace')
    const strace = ['-f', '-y', '-qq', '-s', '1', '--seccomp-bpf', '-o', trace, '-e', `trace=${traced}`]
    const { stdout } = await runCommand('strace', [
      ...strace,
      process.execPath,
      '--input-type=module',
      '--eval',
      script,
    ])
    expect(stdout).toBe('{"result":"done","code":"ok"}\n')
    const calls = parseSystemCalls(await readFile(trace, 'utf8'))
    const renames = calls.filter(({ name, paths }) => name.startsWith('rename') && paths[1]?.startsWith(`${folder}/`))
    expect(renames.map(({ paths }) => paths[1]?.slice(folder.length + 1))).toEqual([
      'candidate.deb',
      'starting',
      'trial.json',
      'trial.json',
      'confirmed',
    ])
    for (const rename of renames) expect(whatIsNotDurable(calls, rename), rename.paths[1]).toEqual([])
    const wayBack = calls.find(
      ({ name, paths }) => name.startsWith('link') && paths[1] === join(folder, 'previous.deb'),
    )
    expect(wayBack && isSyncedAfter(calls, folder, wayBack)).toBe(true)
    const opened = calls.filter(({ name, paths }) => name === 'openat' && paths[0]?.endsWith(basename(deb)))
    expect(opened, 'it may be another file the next time').toHaveLength(1)
  },
)

it.skipIf(why !== undefined)(
  'syncs the runner of a trial where it has to be copied from another file system',
  async () => {
    await using folder = await tempFolder()
    const at = (name: string): string => join(folder.path, name)
    for (const name of ['lib', 'units', 'update']) await mkdir(at(name))
    await using _ = await mountSmallDisk(at('lib'))
    await mkdir(at('lib/native'))
    for (const name of ['node', 'native/update-runner.cjs', 'panorama-agent-update.service'])
      await writeFile(at(`lib/${name}`), name)
    const places = JSON.stringify({ programs: at('lib'), units: at('units') })
    const script = `(await import(${moduleOf('trial-runner.ts')})).placeRunner(${places}, { program: ${JSON.stringify(at('update/program'))} })`
    const strace = ['-f', '-y', '-qq', '-o', at('trace'), '-e', 'trace=fsync,fdatasync']
    await runCommand('strace', [...strace, process.execPath, '--input-type=module', '--eval', script])
    const synced = parseSystemCalls(await readFile(at('trace'), 'utf8')).flatMap(({ paths }) => paths)
    expect(synced).toEqual(
      expect.arrayContaining(['update/program/node', 'update/program/update-runner.cjs', 'update/program'].map(at)),
    )
  },
)
