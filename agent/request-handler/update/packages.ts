import { runProgram } from '../run-program.ts'
import type { UpdatePlaces } from './update-places.ts'

export const packageName = 'panorama-agent'

/** A version of the package (deb-version(7)) as a regular expression: a release candidate has `~`, which sorts before the end. */
export const versionSyntax = '[0-9][A-Za-z0-9.+:~-]{0,63}'

/** What a package says of itself. */
export interface PackageFacts {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** Once it is installed. */
  readonly kilobytes: number
}

/** How dpkg has the package: `status` is `ii` where it is installed and configured. */
export interface InstalledPackage {
  readonly status: string
  readonly version: string
}

type Tools = Pick<UpdatePlaces, 'dpkg' | 'dpkgDeb' | 'dpkgQuery'>

const askWithinMs = 60_000

/** Undefined where it is no package. Not for a file whose signature was not verified. */
export async function packageFacts(file: string, { dpkgDeb }: Tools): Promise<PackageFacts | undefined> {
  const format = '--showformat=${Package} ${Version} ${Architecture} ${Installed-Size}\\n'
  const [line = ''] = (await linesOf(dpkgDeb, ['--show', format, file])) ?? []
  const [, name, version, architecture, kilobytes] = /^(\S+) (\S+) (\S+) (\d*)$/.exec(line) ?? []
  if (name === undefined || version === undefined || architecture === undefined) return undefined
  return { name, version, architecture, kilobytes: Number(kilobytes ?? 0) }
}

/** Undefined where dpkg does not know it. */
export async function installedPackage({ dpkgQuery }: Tools): Promise<InstalledPackage | undefined> {
  const format = '--showformat=${db:Status-Abbrev} ${Version}\\n'
  const [line = ''] = (await linesOf(dpkgQuery, ['--show', format, packageName])) ?? []
  const [, status, version] = /^(\S+) +(\S+)$/.exec(line) ?? []
  return status === undefined || version === undefined ? undefined : { status, version }
}

/** By the order of Debian's versions (deb-version(7)). */
export async function isNewer(version: string, than: string, { dpkg }: Tools): Promise<boolean> {
  return (await linesOf(dpkg, ['--compare-versions', version, 'gt', than])) !== undefined
}

/** The lines that a program printed; undefined when it did not end well. */
async function linesOf(file: string, args: readonly string[]): Promise<readonly string[] | undefined> {
  const lines: string[] = []
  const onLine = (line: string): void => {
    lines.push(line)
  }
  const fault = await runProgram({ file, args, withinMs: askWithinMs, onLine })
  return fault === undefined ? lines : undefined
}
