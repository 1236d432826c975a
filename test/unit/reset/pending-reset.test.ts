import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { pendingReset } from '../../../agent/reset/pending-reset.ts'
import { writeResetMarker } from '../../../agent/reset/reset-marker.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('says of a decommission that is not over that a start finishes it only without the files that remain', async () => {
  await using folder = await tempFolder()
  const { path } = folder
  expect(await pendingReset(path)).toBeUndefined()
  const key = join(path, 'private.key')
  await writeResetMarker(path, {
    version: 1,
    decommission: true,
    runtime: '/run/x',
    identityFiles: [key, join(path, 'gone')],
  })
  const start = { message: `a reset of ${path} is not finished`, hint: 'start the agent, which finishes it first' }
  expect(await pendingReset(path)).toEqual(start)
  await writeFile(key, 'x')
  expect(await pendingReset(path)).toEqual({
    message: expect.stringMatching(
      /files with an identity remain, and the agent does not start beside them: .*private\.key$/,
    ) as string,
    hint: expect.stringMatching(
      /^run panorama-agent reset --yes --decommission as root, .*reset\.json instead$/,
    ) as string,
  })
})
