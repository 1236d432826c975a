import { join } from 'node:path'

import { runTool } from '../../../scripts/packaging/run-tool.ts'

const root = join(import.meta.dirname, '..', '..', '..')

export interface PackageFileOptions {
  /** `amd64` or `arm64`; default this machine's. */
  readonly platform?: string
  /** Where the package goes. */
  readonly folder: string
  readonly env?: Readonly<Record<string, string>>
}

/** Builds a package at the fast level, as a person would; resolves with its path. */
export async function packageFile({ platform = ownPlatform, folder, env = {} }: PackageFileOptions): Promise<string> {
  const args = ['--platform', platform, '--fast', '--output', folder]
  const printed = await runTool(join(root, 'scripts', 'package'), args, { env, hint: 'run it by hand to see more' })
  return printed.trimEnd().split('\n').at(-1) ?? ''
}

/** Debian's name of what this machine is. */
export const ownPlatform = process.arch === 'arm64' ? 'arm64' : 'amd64'

/** Why a tool cannot be used here, printed as well; undefined when it can. */
export async function whyNoTool(tool: string, debianPackage: string): Promise<string | undefined> {
  return await runTool('sh', ['-c', `command -v ${tool}`], { hint: '' }).then(
    () => undefined,
    () => {
      const reason = `there is no ${tool} here (Debian package ${debianPackage})`
      console.log(`left out: ${reason}`)
      return reason
    },
  )
}
