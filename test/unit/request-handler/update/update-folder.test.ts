import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { Trial } from '../../../../agent/request-handler/update/trial.ts'
import { UpdateFolder } from '../../../../agent/request-handler/update/update-folder.ts'
import { tempFolder } from '../../../support/temp-folder.ts'

const trial: Trial = {
  version: 1,
  id: 'job1',
  from: '1.0.0',
  to: '1.1.0',
  confirmSeconds: 60,
  phase: 'installing',
  begun: 0,
}

test('a confirmation that a trial before has left does not confirm the one that is put in place', async () => {
  await using temporary = await tempFolder()
  const folder = new UpdateFolder(join(temporary.path, 'update'), {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  })
  await writeFile(folder.installed, 'old package')
  await writeFile(join(folder.path, 'verified'), 'new package')
  folder.confirm(trial)
  expect(folder.isConfirmed(trial)).toBe(true)
  folder.stage(join(folder.path, 'verified'))
  folder.save(trial)
  expect(folder.isConfirmed(trial)).toBe(false)
})
