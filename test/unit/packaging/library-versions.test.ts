import { describe, expect, it } from 'vitest'

import {
  libraryDependencies,
  mergeLibraryVersions,
  readLibraryVersions,
} from '../../../scripts/packaging/library-versions.ts'

interface Needs {
  readonly needed: readonly string[]
  readonly references?: Readonly<Record<string, readonly string[]>>
}

/** As binutils' `objdump -p` prints it. */
function objdump({ needed, references = {} }: Needs): string {
  const required = Object.entries(references).map(
    ([library, versions]) =>
      `  required from ${library}:\n${versions.map((version) => `    0x0d696913 0x00 12 ${version}\n`).join('')}`,
  )
  return `Dynamic Section:\n${needed.map((name) => `  NEEDED               ${name}\n`).join('')}\nVersion References:\n${required.join('')}`
}

describe('the libraries that a binary needs', () => {
  it('states the newest version that any part of a library is needed in', () => {
    const versions = readLibraryVersions(
      objdump({
        needed: ['libm.so.6', 'libc.so.6'],
        references: { 'libm.so.6': ['GLIBC_2.9', 'GLIBC_2.27'], 'libc.so.6': ['GLIBC_2.17', 'GLIBC_2.2.5'] },
      }),
    )
    expect(libraryDependencies(versions)).toEqual(['libc6 (>= 2.27)'])
  })

  it('takes the release of GCC that brought a symbol version', () => {
    const versions = readLibraryVersions(
      objdump({
        needed: ['libstdc++.so.6'],
        references: {
          'libstdc++.so.6': ['GLIBCXX_3.4', 'CXXABI_1.3', 'GLIBCXX_3.4.9', 'CXXABI_1.3.13', 'GLIBCXX_3.4.21'],
        },
      }),
    )
    expect(libraryDependencies(versions)).toEqual(['libstdc++6 (>= 11)'])
  })

  it('states a library of which no particular version is needed', () => {
    expect(libraryDependencies(readLibraryVersions(objdump({ needed: ['libatomic.so.1'] })))).toEqual(['libatomic1'])
  })

  it('states what several binaries need together', () => {
    const first = readLibraryVersions(objdump({ needed: ['libc.so.6'], references: { 'libc.so.6': ['GLIBC_2.28'] } }))
    const second = readLibraryVersions(
      objdump({ needed: ['libc.so.6', 'libgcc_s.so.1'], references: { 'libc.so.6': ['GLIBC_2.17'] } }),
    )
    expect(libraryDependencies(mergeLibraryVersions([first, second]))).toEqual(['libc6 (>= 2.28)', 'libgcc-s1'])
  })

  it.each([
    { what: 'a library', needs: { needed: ['libunheard.so.1'] } },
    { what: 'a version of GCC', needs: { needed: [], references: { 'libstdc++.so.6': ['GLIBCXX_3.4.99'] } } },
    { what: 'a private symbol of glibc', needs: { needed: [], references: { 'libc.so.6': ['GLIBC_PRIVATE'] } } },
  ])('refuses $what that it does not know', ({ needs }) => {
    expect(() => readLibraryVersions(objdump(needs))).toThrow(/not known/)
  })
})
