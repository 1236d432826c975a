import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { bundledFolders, copyrightNotices, findIngredients } from '../../../scripts/packaging/ingredients.ts'
import { tempFolder } from '../../support/temp-folder.ts'

interface Installed {
  readonly license: string
  readonly lockedVersion?: string
  readonly files?: Readonly<Record<string, string>>
}

/** A checkout with the one package `node_modules/part`. */
async function checkout({ license, lockedVersion = '1.0.0', files = {} }: Installed) {
  const folder = await tempFolder()
  const part = join(folder.path, 'node_modules', 'part')
  await mkdir(part, { recursive: true })
  await writeFile(join(part, 'package.json'), JSON.stringify({ name: 'part', version: '1.0.0', license }))
  for (const [name, content] of Object.entries(files)) await writeFile(join(part, name), content)
  const integrity = `sha512-${Buffer.from('abc').toString('base64')}`
  const lock = { packages: { 'node_modules/part': { version: lockedVersion, integrity } } }
  await writeFile(join(folder.path, 'package-lock.json'), JSON.stringify(lock))
  return folder
}

describe('what is in the package of others', () => {
  it('takes the packages from the paths of what was bundled', () => {
    const inputs = {
      'agent/main.ts': {},
      'node_modules/zod/a.js': {},
      'node_modules/zod/b/c.js': {},
      'node_modules/@aws-sdk/core/a.js': {},
      'node_modules/outer/node_modules/inner/a.js': {},
    }
    expect(bundledFolders({ inputs })).toEqual([
      'node_modules/@aws-sdk/core',
      'node_modules/outer/node_modules/inner',
      'node_modules/zod',
    ])
  })

  it('finds who holds the rights, and none in the terms or in the form to fill in', () => {
    const text = `MIT License\n\n   Copyright (c) 2020 Somebody. All rights reserved.\n# Copyright 2021-2024 Somebody Else
The above copyright notice shall be included.\n   Copyright [yyyy] [name of copyright owner]\n`
    expect(copyrightNotices(text)).toEqual(['(c) 2020 Somebody', '2021-2024 Somebody Else'])
  })

  it('reads licence, notices and digest', async () => {
    const files = { LICENSE: 'Copyright (c) 2020 Somebody\nterms', NOTICE: 'Copyright 2021 Another' }
    await using folder = await checkout({ license: 'MIT', files })
    expect(await findIngredients(folder.path, ['node_modules/part'])).toEqual([
      {
        path: 'node_modules/part',
        name: 'part',
        version: '1.0.0',
        license: 'MIT',
        licenseText: files.LICENSE,
        noticeTexts: [files.NOTICE],
        copyright: ['(c) 2020 Somebody', '2021 Another'],
        sha512: '616263',
      },
    ])
  })

  it.each([
    { what: 'a licence that nobody accepted', installed: { license: 'GPL-3.0', files: { LICENSE: 'terms' } } },
    { what: 'a licence whose text is missing', installed: { license: 'MIT' } },
    { what: 'a version that is not locked', installed: { license: 'Apache-2.0', lockedVersion: '1.0.1' } },
  ])('refuses $what', async ({ installed }) => {
    await using folder = await checkout(installed)
    await expect(findIngredients(folder.path, ['node_modules/part'])).rejects.toThrow('node_modules/part is')
  })
})
