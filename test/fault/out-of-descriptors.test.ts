import { join } from 'node:path'

import { expect, test } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const program = join(import.meta.dirname, '..', 'support', 'few-descriptors.ts')

test('a log that is rotated while no descriptor is left is told of, then read on, once and without a gap', async () => {
  await using folder = await tempFolder()
  const run = 'ulimit -n 64 && exec "$@"'
  const { stdout } = await runCommand('sh', ['-c', run, 'sh', process.execPath, program, folder.path])
  expect(JSON.parse(stdout)).toEqual({
    failures: [expect.stringMatching(/app\.log: .*EMFILE/)],
    messages: ['one', 'two', 'three', 'four'],
    gaps: [],
  })
})
