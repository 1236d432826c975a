import { open } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { BlockWriter } from '../../../../agent/artifacts/transfer/block-writer.ts'
import { tempFolder } from '../artifact-fixture.ts'

it('takes no memory before the first chunk comes', async () => {
  await using folder = await tempFolder()
  await using data = await open(join(folder.path, 'data'), 'w+')
  const blockBytes = 8 * 1024 * 1024
  const options = { position: 0, sizeBytes: blockBytes, blockBytes, onBlock: () => undefined }
  const before = process.memoryUsage().arrayBuffers
  const writers = Array.from({ length: 16 }, () => new BlockWriter(data, options))
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(blockBytes)
  await writers[0]?.write(Buffer.from('one'))
  await Promise.all(writers.map((writer) => writer.flush()))
  expect(await data.readFile('utf8')).toBe('one')
})
