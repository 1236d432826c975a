import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const demo = join(import.meta.dirname, '..', '..', 'scripts', 'demo.ts')

it('shows the agent at work on a folder of the user, and sums it up in the last line', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'deep'))
  await writeFile(join(folder.path, 'deep', 'mine.txt'), 'mine\n')
  const { stdout } = await runCommand(process.execPath, [demo, '--once', '--publish', folder.path])
  expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toEqual({
    credentials: { fetches: expect.any(Number) as number, expiresAt: expect.stringMatching(/^\d{4}-.*Z$/) as string },
    artifacts: {
      files: 3, // the user's, and two that the demo publishes later
      bytes: expect.any(Number) as number,
      releaseId: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    },
    cameras: ['dock-1', 'dock-2'].map((name) => ({
      name,
      versionId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    })),
    logs: { accepted: expect.any(Number) as number, lost: 0 },
  })
}, 90_000)
