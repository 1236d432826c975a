import { chmod, readFile } from 'node:fs/promises'

import { expect, it } from 'vitest'

import { PartialFile } from '../../../../agent/artifacts/transfer/partial-file.ts'
import { tempFolder } from '../artifact-fixture.ts'

const wanted = {
  path: 'model',
  object: { key: 'app/model', etag: '"1"', sizeBytes: 4 },
  promised: undefined,
  executable: false,
}
const header = { version: 1, key: 'app/model', etag: '"1"', sizeBytes: 4, partBytes: 4 } as const

it('can be written again by who is not root when a crash came just before it was moved away', async () => {
  await using folder = await tempFolder()
  {
    await using partial = await PartialFile.begin(folder.path, wanted, header)
    await partial.data.write('done', 0)
    await partial.record(0, '0'.repeat(64))
    await partial.finish(0o444)
  }
  await using resumed = await PartialFile.resume(folder.path, wanted)
  expect(resumed?.recorded.size).toBe(1)
  expect(((await resumed?.data.stat())?.mode ?? 0) & 0o777).toBe(0o600)
})

it('begins anew with a file of its own, whatever the mode of the last one was', async () => {
  await using folder = await tempFolder()
  await using first = await PartialFile.begin(folder.path, wanted, header)
  await first.data.write('old', 0)
  await chmod(first.path, 0o444)
  await using second = await PartialFile.begin(folder.path, wanted, header)
  expect((await first.data.stat()).ino).not.toBe((await second.data.stat()).ino)
  expect(await readFile(second.path, 'utf8')).toBe('')
})
