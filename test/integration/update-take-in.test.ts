import { appendFile, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { expect, test } from 'vitest'

import { takeIn, type TakeInOptions } from '../../agent/request-handler/update/take-in.ts'
import { requestBench, type RequestBench } from '../support/request-bench.ts'
import { runCommand } from '../support/run-command.ts'
import { packageArchitecture, publishUpdate } from '../support/signed-package.ts'
import { mountOver, whyNoMount } from '../support/small-disk.ts'

const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because nothing can be mounted here: ${noMount}`)

function optionsOf({ folder, options }: RequestBench): TakeInOptions {
  const { artifacts } = options.update
  return { artifacts, name: 'agent', architecture: packageArchitecture, incoming: folder, maxBytes: 268_435_456 }
}

test.skipIf(noMount !== undefined)('takes no more of a package than was there when it was looked at', async () => {
  await using bench = await requestBench()
  const deb = await publishUpdate(bench)
  await using _ = await mountOver(deb, '/proc/version') // a regular file of no bytes that yields some
  expect(takeIn(optionsOf(bench))).toBe('too-large')
  expect(await readFile(join(bench.folder, 'update.deb'), 'utf8')).toBe('')
})

test.each(['', '.sig'])('does not wait for a writer where the package%s is a pipe', async (end) => {
  await using bench = await requestBench()
  const deb = await publishUpdate(bench)
  await rm(`${deb}${end}`)
  await runCommand('mkfifo', [`${deb}${end}`])
  const module = pathToFileURL(join(import.meta.dirname, '../../agent/request-handler/update/take-in.ts')).href
  const script = `
    const { takeIn } = await import(${JSON.stringify(module)})
    console.log(takeIn(${JSON.stringify(optionsOf(bench))}))`
  const args = ['--input-type=module', '--eval', script]
  const { stdout } = await runCommand(process.execPath, args, { withinMs: 20_000 }) // it would wait for ever
  expect(stdout).toBe(end === '' ? 'no-package\n' : 'no-signature\n')
})

test('lets no tool see a package whose signature does not hold', async () => {
  await using bench = await requestBench()
  const deb = await publishUpdate(bench)
  const dpkgDeb = join(bench.folder, 'bin-dpkg-deb')
  const seen = join(bench.folder, 'seen')
  await writeFile(dpkgDeb, `#!/bin/sh\necho "$*" >>${seen}\nexec dpkg-deb "$@"\n`, { mode: 0o755 })
  const ask = async (id: string): Promise<unknown> => {
    await bench.put(`${id}.json`, JSON.stringify({ verb: 'install-update', argument: 'agent' }))
    await bench.handle({ update: { ...bench.options.update, dpkgDeb } })
    return await bench.answer(id)
  }
  await rename(deb, `${deb}.whole`)
  await writeFile(deb, await readFile(`${deb}.whole`))
  await appendFile(deb, 'x')
  expect(await ask('damaged')).toEqual({ result: 'refused', code: 'bad-signature' })
  await expect(readFile(seen)).rejects.toThrow('ENOENT')
  await rename(`${deb}.whole`, deb)
  expect(await ask('signed')).toEqual({ result: 'done', code: 'ok' })
  expect(await readFile(seen, 'utf8')).toContain('incoming/update.deb')
})
