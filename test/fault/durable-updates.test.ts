import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { expect, it } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { mountSmallDisk, whyNoMount } from '../support/small-disk.ts'
import { whyNoStrace } from '../support/strace.ts'
import { parseSystemCalls } from '../support/system-calls.ts'
import { tempFolder } from '../support/temp-folder.ts'

const why = (await whyNoStrace()) ?? (await whyNoMount())
if (why !== undefined) console.log(`skipped, because strace or mount does not work here: ${why}`)

const module = pathToFileURL(join(import.meta.dirname, '../../agent/request-handler/update/trial-runner.ts')).href

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
    const script = `(await import(${JSON.stringify(module)})).placeRunner(${places}, { program: ${JSON.stringify(at('update/program'))} })`
    const strace = ['-f', '-y', '-qq', '-o', at('trace'), '-e', 'trace=fsync,fdatasync']
    await runCommand('strace', [...strace, process.execPath, '--input-type=module', '--eval', script])
    const synced = parseSystemCalls(await readFile(at('trace'), 'utf8')).flatMap(({ paths }) => paths)
    expect(synced).toEqual(
      expect.arrayContaining(['update/program/node', 'update/program/update-runner.cjs', 'update/program'].map(at)),
    )
  },
)
