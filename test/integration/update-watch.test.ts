import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { applianceWorld } from '../../agent/request-handler/update/appliance-world.ts'
import type { TrialWorld } from '../../agent/request-handler/update/run-trial.ts'
import type { Trial } from '../../agent/request-handler/update/trial.ts'
import { UpdateFolder } from '../../agent/request-handler/update/update-folder.ts'
import { requestBench } from '../support/request-bench.ts'

const never = new AbortController().signal
const trial: Trial = {
  version: 1,
  id: 'job1',
  from: '1.0.0',
  to: '1.1.0',
  confirmSeconds: 60,
  phase: 'watching',
  begun: 1,
}

interface Bench extends AsyncDisposable {
  readonly world: TrialWorld
  readonly folder: UpdateFolder
  /** What systemctl was asked for, but for the state. */
  readonly calls: () => Promise<readonly string[]>
}

/** A trial whose agent systemd shows as a line of shell prints it; `start` is what another line does when it is started. */
async function bench({ show, start = ':' }: { readonly show: string; readonly start?: string }): Promise<Bench> {
  const made = await requestBench()
  const systemctl = join(made.folder, 'scripted')
  const log = join(made.folder, 'calls')
  const verbs = `show) ${show} ;; start) echo "$*" >>${log}; ${start} ;;`
  await writeFile(systemctl, `#!/bin/sh\ncd ${made.folder}\ncase "$1" in ${verbs} esac\n`, { mode: 0o755 })
  const { update, owner } = made.options
  const folder = new UpdateFolder(update.folder, owner)
  const options = { folder, update, systemctl, nowMs: () => 0, lookEveryMs: 1, print: () => undefined }
  return {
    world: applianceWorld(options),
    folder,
    calls: async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').filter((line) => line !== ''),
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  }
}

test('gives a version up whose agent systemd had to start again three times', async () => {
  const show = 'echo x >>looks; echo ActiveState=active; echo "NRestarts=$(wc -l <looks)"'
  await using made = await bench({ show })
  expect(await made.world.watch(trial, never)).toEqual({ kind: 'failed', reason: 'it failed to start 3 times' })
  expect(await made.calls()).toEqual([])
})

test('keeps a version whose agent systemd had to start again twice', async () => {
  const confirm = `echo '{"id":"job1"}' >update/confirmed`
  const show = `echo x >>looks; n=$(wc -l <looks); if [ "$n" -gt 3 ]; then n=3; ${confirm}; fi; echo "NRestarts=$n"`
  await using made = await bench({ show })
  expect(await made.world.watch(trial, never)).toEqual({ kind: 'confirmed' })
})

test('starts an agent that lies there although its version is on trial, as after an exit that systemd does not restart', async () => {
  const start = `touch started; echo '{"id":"job1"}' >update/confirmed`
  const show = 'if [ -e started ]; then echo ActiveState=active; else echo ActiveState=failed; fi; echo NRestarts=0'
  await using made = await bench({ show, start })
  expect(await made.world.watch(trial, never)).toEqual({ kind: 'confirmed' })
  expect(await made.calls()).toEqual(['start panorama-agent.service'])
})

test('gives a version up whose agent lies there whenever it is started', async () => {
  await using made = await bench({ show: 'echo ActiveState=failed; echo NRestarts=0' })
  expect(await made.world.watch(trial, never)).toEqual({ kind: 'failed', reason: 'it failed to start 3 times' })
  expect(await made.calls()).toHaveLength(3)
})

test('gives a version up that is not confirmed in its time, with what the agent says of itself', async () => {
  await using made = await bench({ show: 'echo ActiveState=active; echo NRestarts=0; echo "StatusText=no network"' })
  expect(await made.world.watch({ ...trial, confirmSeconds: 1 }, never)).toEqual({
    kind: 'failed',
    reason: 'not confirmed within 1 s (no network)',
  })
})
