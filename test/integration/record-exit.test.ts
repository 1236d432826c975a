import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { reportLastRun } from '../../agent/status/last-run.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const script = join(import.meta.dirname, '..', '..', 'systemd', 'record-exit')

async function recordExit(environment: Readonly<Record<string, string>>): Promise<void> {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  await runCommand('env', ['-i', 'PATH=/usr/bin:/bin', ...assignments, script])
}

test('leaves what systemd says of the end of a run, for the next run to tell', async () => {
  await using folder = await tempFolder()
  const RUNTIME_DIRECTORY = folder.path
  await recordExit({ RUNTIME_DIRECTORY, SERVICE_RESULT: 'success', EXIT_CODE: 'exited', EXIT_STATUS: '0' })
  await recordExit({ RUNTIME_DIRECTORY, SERVICE_RESULT: 'watchdog', EXIT_CODE: 'dumped', EXIT_STATUS: 'ABRT' })
  expect(await readdir(folder.path)).toEqual(['last-exit'])
  expect((await lstat(join(folder.path, 'last-exit'))).mode & 0o7777).toBe(0o600)
  expect(await readFile(join(folder.path, 'last-exit'), 'utf8')).toBe('watchdog dumped ABRT\n')
  const log = new RecordingLog()
  await reportLastRun({ runtimeDirectory: folder.path, runtimeFolder: folder.path, log })
  expect(log.entries[0]?.fields).toMatchObject({ stuck: 'event loop', result: 'watchdog' })
})

test('leaves something when nothing was started', async () => {
  await using folder = await tempFolder()
  await recordExit({ RUNTIME_DIRECTORY: folder.path, SERVICE_RESULT: 'resources' })
  expect(await readFile(join(folder.path, 'last-exit'), 'utf8')).toBe('resources unknown unknown\n')
})

test('replaces a symlink instead of writing through it', async () => {
  await using folder = await tempFolder()
  const victim = join(folder.path, 'victim')
  await writeFile(victim, 'precious')
  await symlink(victim, join(folder.path, 'last-exit'))
  await recordExit({ RUNTIME_DIRECTORY: folder.path, SERVICE_RESULT: 'success' })
  expect(await readFile(victim, 'utf8')).toBe('precious')
  expect((await lstat(join(folder.path, 'last-exit'))).isFile()).toBe(true)
})

test('does nothing without a runtime directory', async () => {
  await recordExit({ SERVICE_RESULT: 'success' })
})
