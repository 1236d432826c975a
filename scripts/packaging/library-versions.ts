import { AgentError } from '../../agent/lib/errors.ts'

/** The Debian packages of the shared libraries that a binary may need, each with the oldest version that will do. */
export type LibraryVersions = ReadonlyMap<string, string>

interface Library {
  readonly debianPackage: string
  /** The package's version that brought a symbol version, such as `GLIBC_2.28`; undefined when not known. */
  readonly broughtBy: (symbolVersion: string) => string | undefined
}

const glibc: Library = { debianPackage: 'libc6', broughtBy: (version) => /^GLIBC_([\d.]+)$/.exec(version)?.[1] }

/** GCC's "ABI Policy and Guidelines" lists which release of GCC brought which symbol version. */
const gccReleases: Readonly<Record<string, readonly string[]>> = {
  '4.9': ['GLIBCXX_3.4.20', 'CXXABI_1.3.8'],
  '5': ['GLIBCXX_3.4.21', 'CXXABI_1.3.9'],
  '6': ['GLIBCXX_3.4.22', 'CXXABI_1.3.10'],
  '7': ['GLIBCXX_3.4.23', 'GLIBCXX_3.4.24', 'CXXABI_1.3.11'],
  '8': ['GLIBCXX_3.4.25'],
  '9': ['GLIBCXX_3.4.26', 'GLIBCXX_3.4.27', 'GLIBCXX_3.4.28', 'CXXABI_1.3.12'],
  '11': ['GLIBCXX_3.4.29', 'CXXABI_1.3.13'],
  '12': ['GLIBCXX_3.4.30'],
  '13': ['GLIBCXX_3.4.31', 'GLIBCXX_3.4.32', 'CXXABI_1.3.14'],
  '14': ['GLIBCXX_3.4.33', 'CXXABI_1.3.15'],
}

const libstdcxx: Library = { debianPackage: 'libstdc++6', broughtBy: findGccRelease }

/** Before GCC 4.9 nothing is told apart: no system that runs the agent is that old. */
function findGccRelease(version: string): string | undefined {
  const found = Object.entries(gccReleases).find(([, versions]) => versions.includes(version))
  if (found !== undefined) return found[0]
  const [, name, patch] = /^(GLIBCXX_3\.4|CXXABI_1\.3)(?:\.(\d+))?$/.exec(version) ?? []
  const oldest = name === 'CXXABI_1.3' ? 8 : 20
  return name !== undefined && Number(patch ?? 0) < oldest ? '4.8' : undefined
}

const libraries: Readonly<Record<string, Library>> = {
  'libc.so.6': glibc,
  'libm.so.6': glibc,
  'libdl.so.2': glibc,
  'librt.so.1': glibc,
  'libpthread.so.0': glibc,
  'ld-linux-x86-64.so.2': glibc,
  'ld-linux-aarch64.so.1': glibc,
  'libstdc++.so.6': libstdcxx,
  'libgcc_s.so.1': {
    debianPackage: 'libgcc-s1',
    broughtBy: (version) => /^GCC_([\d.]+)$/.exec(version)?.[1],
  },
  'libatomic.so.1': {
    debianPackage: 'libatomic1',
    broughtBy: (version) => (version === 'LIBATOMIC_1.0' ? '4.8' : undefined),
  },
}

/**
 * Reads what `objdump -p` prints about a binary. Throws for a library or a symbol version that it does not know, so that
 * a new runtime cannot bring a need that the package does not state.
 */
export function readLibraryVersions(objdump: string): LibraryVersions {
  const versions = new Map<string, string>()
  for (const [, name = ''] of objdump.matchAll(/^ +NEEDED +(\S+)$/gm)) {
    raise(versions, findLibrary(name).debianPackage, '')
  }
  for (const { name, symbolVersion } of versionReferences(objdump)) {
    const library = findLibrary(name)
    const version = library.broughtBy(symbolVersion)
    if (version === undefined) {
      throw new AgentError(`${name} is needed with ${symbolVersion}, of which the package's version is not known`, {
        hint: 'add it to scripts/packaging/library-versions.ts',
      })
    }
    raise(versions, library.debianPackage, version)
  }
  return versions
}

/** What all of the binaries need together. */
export function mergeLibraryVersions(all: readonly LibraryVersions[]): LibraryVersions {
  const merged = new Map<string, string>()
  for (const versions of all) for (const [name, version] of versions) raise(merged, name, version)
  return merged
}

/** The terms of a `Depends:` field, by name. */
export function libraryDependencies(versions: LibraryVersions): readonly string[] {
  return [...versions]
    .map(([name, version]) => (version === '' ? name : `${name} (>= ${version})`))
    .sort((a, b) => (a < b ? -1 : 1))
}

function findLibrary(name: string): Library {
  const library = libraries[name]
  if (library === undefined) {
    throw new AgentError(`${name} is needed, of which the Debian package is not known`, {
      hint: 'add it to scripts/packaging/library-versions.ts',
    })
  }
  return library
}

function* versionReferences(objdump: string): Generator<{ readonly name: string; readonly symbolVersion: string }> {
  let name: string | undefined
  for (const line of objdump.split('\n')) {
    const [, library] = /^ +required from (\S+):$/.exec(line) ?? []
    if (library !== undefined) name = library
    const [, symbolVersion] = /^ +0x[\da-f]+ 0x[\da-f]+ \d+ (\S+)$/.exec(line) ?? []
    if (name !== undefined && symbolVersion !== undefined) yield { name, symbolVersion }
  }
}

function raise(versions: Map<string, string>, name: string, version: string): void {
  const known = versions.get(name)
  if (known === undefined || compareVersions(version, known) > 0) versions.set(name, version)
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number))
  for (let i = 0; i < Math.max(left?.length ?? 0, right?.length ?? 0); i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
