import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { runCommand } from '../../support/run-command.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }
const buildWithinMs = 480_000

/** Path of a package of this machine's architecture: `$PANORAMA_TEST_PACKAGE`, or one that is built now. */
export async function buildPackage(): Promise<string> {
  const given = process.env['PANORAMA_TEST_PACKAGE']
  if (given !== undefined) return given
  const platform = architectures[process.arch] ?? process.arch
  const args = ['--platform', platform, '--fast']
  const { stdout } = await runCommand(join(root, 'scripts/package'), args, { withinMs: buildWithinMs })
  return stdout.trimEnd().split('\n').at(-1) ?? ''
}

/** Puts the package into a root file system that was never booted, as users do. */
export async function installIntoImage(packageFile: string, image: string): Promise<void> {
  await runCommand(join(root, 'scripts/image-install'), [image, '--deb', packageFile], { withinMs: buildWithinMs })
}

/** The same package with another version, in `folder`: what an upgrade installs. `change` may alter what it unpacks to. */
export async function repack(
  packageFile: string,
  version: string,
  { folder, change }: { readonly folder: string; readonly change?: (tree: string) => Promise<void> },
): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), 'panorama-agent-repack-'))
  try {
    await runCommand('dpkg-deb', ['--raw-extract', packageFile, tree])
    const control = join(tree, 'DEBIAN/control')
    const text = await readFile(control, 'utf8')
    await writeFile(control, text.replace(/^Version: .*$/m, `Version: ${version}`))
    await change?.(tree)
    const target = join(folder, `panorama-agent_${version}_${architectures[process.arch] ?? process.arch}.deb`)
    await runCommand('dpkg-deb', ['-Zgzip', '-z1', '--root-owner-group', '--build', tree, target])
    return target
  } finally {
    await rm(tree, { recursive: true })
  }
}
