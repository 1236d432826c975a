import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const unit = join(import.meta.dirname, '..', '..', 'systemd', 'panorama-agent-request.service')

/** Runs what the unit has in `ExecStopPost=` with a `sleep` that only notes how long it was told to. */
async function restAfter(environment: Readonly<Record<string, string>>): Promise<string> {
  await using folder = await tempFolder()
  const note = join(folder.path, 'slept')
  await writeFile(note, '')
  await writeFile(join(folder.path, 'sleep'), `#!/bin/sh\necho "$1" >>${note}\n`, { mode: 0o755 })
  const command = /^ExecStopPost=\/bin\/sh -c '(.*)'$/m.exec(await readFile(unit, 'utf8'))?.[1]
  if (command === undefined) throw new Error('the unit has no ExecStopPost= of the form that is known here')
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  await runCommand('env', ['-i', `PATH=${folder.path}`, ...assignments, '/bin/sh', '-c', command.replaceAll('$$', '$')])
  return (await readFile(note, 'utf8')).trim()
}

test.each([
  ['failed', { SERVICE_RESULT: 'exit-code', EXIT_CODE: 'exited', EXIT_STATUS: '1' }],
  ['could not even start', { SERVICE_RESULT: 'exit-code', EXIT_CODE: 'exited', EXIT_STATUS: '203' }],
  ['ran out of memory', { SERVICE_RESULT: 'oom-kill', EXIT_CODE: 'killed', EXIT_STATUS: 'KILL' }],
  ['had nothing to start', { SERVICE_RESULT: 'resources' }],
])('rests after a run for root that %s', async (_, environment) => {
  expect(await restAfter(environment)).toBe('30')
})

test.each([
  ['ended well', { SERVICE_RESULT: 'success', EXIT_CODE: 'exited', EXIT_STATUS: '0' }],
  ['was stopped, as by a reboot', { SERVICE_RESULT: 'signal', EXIT_CODE: 'killed', EXIT_STATUS: 'TERM' }],
])('does not rest after a run for root that %s', async (_, environment) => {
  expect(await restAfter(environment)).toBe('')
})
