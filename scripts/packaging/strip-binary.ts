import { AgentError } from '../../agent/lib/errors.ts'
import type { Platform } from './platform.ts'
import { readLibraryVersions, type LibraryVersions } from './library-versions.ts'
import { runTool } from './run-tool.ts'

/** Copies a binary of any platform to `to` without what only a debugger needs. Same bytes each time. */
export async function stripBinary(platform: Platform, from: string, to: string): Promise<void> {
  await runTool(`${platform.triplet}-strip`, ['--strip-unneeded', '-o', to, from], { hint: binutilsHint(platform) })
}

/** The libraries that a binary of any platform needs. */
export async function findLibraryVersions(platform: Platform, binary: string): Promise<LibraryVersions> {
  const printed = await runTool(`${platform.triplet}-objdump`, ['-p', binary], { hint: binutilsHint(platform) })
  const versions = readLibraryVersions(printed)
  if (versions.size > 0) return versions
  throw new AgentError(`${binary} needs no library, which cannot be`, { hint: binutilsHint(platform) })
}

function binutilsHint({ binutils }: Platform): string {
  return `install the Debian package ${binutils}`
}
