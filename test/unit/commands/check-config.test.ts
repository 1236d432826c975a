import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { expect, test } from 'vitest'

import { checkConfig } from '../../../agent/commands/check-config.ts'
import { configDocument } from '../../support/config-document.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('config check warns of a log group that the policy does not cover, and finds no fault in it', async () => {
  await using folder = await tempFolder()
  const configFile = join(folder.path, 'config.json')
  const sources = [{ kind: 'file', path: '/a', group: '/mine' }]
  await writeFile(configFile, JSON.stringify({ ...configDocument(), logs: { sources } }))
  const stdout = new PassThrough({ encoding: 'utf8' })

  await checkConfig({ configFile }, { stdout })

  expect(String(stdout.read()).split('\n')).toEqual([
    expect.stringMatching(/^warning: logs\.sources\[0\]\.group: log groups that begin with "\/mine" are not covered/),
    `${configFile} has no fault`,
    '',
  ])
})
