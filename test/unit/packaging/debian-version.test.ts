import { expect, test } from 'vitest'

import { debianVersion } from '../../../scripts/packaging/debian-version.ts'

test.each([
  ['1.2.0', '1.2.0'],
  ['1.2.0-rc.1', '1.2.0~rc.1'],
  ['1.2.0-alpha-2.10', '1.2.0~alpha-2.10'],
  ['1.2.0+build.7', '1.2.0+build.7'],
  ['1.2.0-rc.1+build.7', '1.2.0~rc.1+build.7'],
])('makes of %s the version %s of the package', (version, wanted) => {
  expect(debianVersion(version)).toBe(wanted)
})

test.each(['', '1.2', 'v1.2.0', '1.2.0~rc.1', '01.2.0', '1.2.0-', '1.2.0 '])('takes no %j for a version', (version) => {
  expect(() => debianVersion(version)).toThrow(`"${version}" is no semantic version`)
})
