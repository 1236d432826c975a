import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { lacksMosquitto } from '../support/mosquitto.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const demo = join(import.meta.dirname, '..', '..', 'scripts', 'demo.ts')

const jobs = [
  { jobId: 'flush-every-2-seconds', status: 'SUCCEEDED', statusDetails: { version: '1' } },
  {
    jobId: 'wrong-endpoint',
    status: 'FAILED',
    statusDetails: {
      reason: expect.stringContaining('not confirmed within 30 s') as string,
      revertedVersion: '2',
    },
  },
]

it('shows the agent at work on a folder of the user, and sums it up in the last line', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'deep'))
  await writeFile(join(folder.path, 'deep', 'mine.txt'), 'mine\n')
  const { stdout } = await runCommand(process.execPath, [demo, '--once', '--publish', folder.path], {
    withinMs: 290_000,
  })
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
    jobs: (await lacksMosquitto('the jobs of the demo')) ? [] : jobs,
  })
}, 300_000) // half a minute of it is the trial of a configuration, up to two more the wait of a connection
