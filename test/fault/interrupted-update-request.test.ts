import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { afterAll, expect, test } from 'vitest'

import { namesIn, type RequestBench } from '../support/request-bench.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { ask, done, trialOf, updateBenches } from '../support/update-bench.ts'

const root = join(import.meta.dirname, '../..')
const handler = pathToFileURL(join(root, 'agent/request-handler/handle-requests.ts')).href
const owned = new AsyncDisposableStack()
const { appliance, publish } = updateBenches(owned.use(await tempFolder()).path)
const argument = 'agent:60:abcdef0123456789'
const runner = 'panorama-agent-update.service'

afterAll(async () => {
  await owned.disposeAsync()
})

/** Has the real handler asked for an update, and killed when it calls systemctl with that verb. */
async function killedAt(bench: RequestBench, verb: string): Promise<void> {
  const systemctl = join(bench.folder, 'killing')
  await writeFile(systemctl, `#!/bin/sh\n[ "$1" != ${verb} ] || kill -9 $PPID\n`, { mode: 0o755 })
  await bench.put('cut.json', JSON.stringify({ verb: 'install-update', argument }))
  const given = JSON.stringify({ ...bench.options, systemctl })
  const script = `const { handleRequests } = await import(${JSON.stringify(handler)})
    await handleRequests({ ...${given}, clock: undefined, print: () => undefined })`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore' })
  await once(child, 'exit')
  expect(child.signalCode).toBe('SIGKILL')
}

const starting = (bench: RequestBench): string => join(bench.folder, 'update/starting')

test('goes on with an update that was on disk and not begun when the handler was killed', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  await killedAt(bench, 'start')
  expect(await trialOf(bench)).toMatchObject({ to: '1.1.0', phase: 'installing', begun: 0 })
  expect(existsSync(starting(bench))).toBe(true)
  expect(await bench.handle()).toBe('finished')
  expect(await bench.systemctlCalls()).toEqual([`start --no-block ${runner}`])
  expect(existsSync(starting(bench))).toBe(false)
  expect(await trialOf(bench)).toMatchObject({ to: '1.1.0', phase: 'installing', begun: 0 })
  expect(await ask(bench, 'install-update', argument)).toEqual(done)
  expect(await bench.handle()).toBe('finished')
  expect(await bench.systemctlCalls()).toHaveLength(1)
})

test('has nothing to go on with when the handler was killed before the update was on disk', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  await killedAt(bench, 'daemon-reload')
  expect(existsSync(starting(bench))).toBe(false)
  expect(await bench.handle()).toBe('finished')
  expect(await bench.systemctlCalls()).toEqual([])
  expect(await ask(bench, 'install-update', argument)).toEqual(done)
  expect(await trialOf(bench)).toMatchObject({ to: '1.1.0' })
})

test('tries again, and serves requests meanwhile, while the runner cannot be started', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  await killedAt(bench, 'start')
  const failing = join(bench.folder, 'failing')
  await writeFile(failing, '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  await bench.put('confirm.json', JSON.stringify({ verb: 'confirm-update', argument: '1.1.0' }))
  expect(await bench.handle({ systemctl: failing })).toBe('stuck')
  expect(await bench.answer('confirm')).toEqual({ result: 'failed', code: 'not-yet' })
  expect(existsSync(starting(bench))).toBe(true)
  expect(await bench.handle()).toBe('finished')
  expect(await bench.systemctlCalls()).toEqual([`start --no-block ${runner}`])
})

test('forgets an update whose runner is gone', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  await killedAt(bench, 'start')
  await rm(join(bench.folder, 'units', runner))
  expect(await bench.handle()).toBe('finished')
  expect(await namesIn(join(bench.folder, 'update'))).toEqual(['installed.deb'])
  expect(await bench.systemctlCalls()).toEqual([])
})

test('is started by systemd for what it has to go on with, and leaves that behind for nobody', async () => {
  const unit = await readFile(join(root, 'systemd/panorama-agent-request.path'), 'utf8')
  expect(unit).toContain('\nPathExists=/var/lib/panorama-agent-update/starting\n')
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  expect(await ask(bench, 'install-update', argument)).toEqual(done)
  expect(existsSync(starting(bench))).toBe(false)
})
