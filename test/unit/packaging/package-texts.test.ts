import { describe, expect, it } from 'vitest'

import { renderChangelog } from '../../../scripts/packaging/changelog.ts'
import { renderControl } from '../../../scripts/packaging/control.ts'
import { renderCopyright } from '../../../scripts/packaging/copyright.ts'
import type { Ingredient } from '../../../scripts/packaging/ingredients.ts'
import { findPlatform } from '../../../scripts/packaging/platform.ts'
import { renderSbom } from '../../../scripts/packaging/sbom.ts'

const part: Ingredient = {
  path: 'node_modules/@scope/part',
  name: '@scope/part',
  version: '1.2.3',
  license: 'MIT',
  licenseText: 'MIT License\n\nPermission is granted.\n',
  noticeTexts: [],
  copyright: ['2020 Somebody', '2021 Another'],
  sha512: 'ab12',
}

describe('the texts of the package', () => {
  it('state architecture, size and dependencies for dpkg', () => {
    const platform = findPlatform('arm64')
    if (platform === undefined) throw new Error('there is no arm64')
    const libraries = new Map([['libc6', '2.28']])
    const control = renderControl({ platform, version: '1.2.3', installedBytes: 2_049, libraries })
    expect(control).toContain('Version: 1.2.3\nArchitecture: arm64\n')
    expect(control).toContain('Installed-Size: 3\n')
    expect(control).toMatch(/^Depends: libc6 \(>= 2\.28\), /m)
    expect(control.split('\n').slice(0, -1)).not.toContain('')
  })

  it('give each part its holders and its whole licence', () => {
    expect(renderCopyright({ ingredients: [part] })).toContain(`Files: node_modules/@scope/part/*
Copyright: 2020 Somebody
 2021 Another
License: MIT
 MIT License
 .
 Permission is granted.
Comment: @scope/part 1.2.3
`)
  })

  it('point to the text of the Apache licence, and keep the notice that has to go with it', () => {
    const text = renderCopyright({
      ingredients: [{ ...part, license: 'Apache-2.0', noticeTexts: ['Made by Somebody'] }],
    })
    expect(text).toContain('/usr/share/common-licenses/Apache-2.0.\n .\n Made by Somebody\n')
  })

  it('list every part with its package URL, and what is linked into it', () => {
    const contains = { zlib: '1.3', unknown: undefined }
    const sbom: unknown = JSON.parse(renderSbom({ version: '1.0.0', ingredients: [{ ...part, contains }] }))
    expect(sbom).toMatchObject({
      bomFormat: 'CycloneDX',
      components: [
        {
          purl: 'pkg:npm/%40scope/part@1.2.3',
          hashes: [{ alg: 'SHA-512', content: 'ab12' }],
          components: [{ name: 'unknown' }, { name: 'zlib', purl: 'pkg:generic/zlib@1.3' }],
        },
      ],
    })
    expect(sbom).not.toHaveProperty('serialNumber')
  })

  it('tell the changes of the newest version, in lines that are not too long', () => {
    const text = `# Changelog\n\n## 2.0.0\n\n- New: ${'word '.repeat(40)}end.\n  Continued.\n- Other.\n\n## 1.0.0\n\n- Old.\n`
    const lines = renderChangelog({ text, version: '2.0.0', maintainer: 'A B <a@b.c>', sourceDate: 0 }).split('\n')
    expect(lines[0]).toBe('panorama-agent (2.0.0) unstable; urgency=medium')
    expect(lines.filter((line) => line.startsWith('  * '))).toHaveLength(2)
    expect(lines.join('\n')).toMatch(
      /end\. Continued\.\n {2}\* Other\.\n\n -- A B <a@b\.c> {2}Thu, 01 Jan 1970 00:00:00 \+0000\n$/,
    )
    expect(lines.every((line) => line.length <= 80)).toBe(true)
  })
})
