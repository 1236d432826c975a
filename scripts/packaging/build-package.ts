import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { renderControl } from './control.ts'
import { mergeLibraryVersions } from './library-versions.ts'
import { listFiles } from './package-files.ts'
import { settleTree, writeTree } from './package-tree.ts'
import { findPlatformModules } from './platform-modules.ts'
import type { Platform } from './platform.ts'
import { runTool } from './run-tool.ts'
import { findSourceDate } from './source-date.ts'
import { findLibraryVersions, stripBinary } from './strip-binary.ts'

export interface PackageOptions {
  /** The checkout. */
  readonly root: string
  readonly platform: Platform
  readonly version: string
  /** Quick to make, and larger. */
  readonly isFast: boolean
  /** Where the package goes. */
  readonly outputFolder: string
  /** `SOURCE_DATE_EPOCH`, where it is set. */
  readonly sourceDate: string | undefined
}

/** Builds the package and resolves with its path. The same checkout gives the same bytes, whatever machine builds it. */
export async function buildPackage(options: PackageOptions): Promise<string> {
  const { root, platform, version, outputFolder } = options
  await using resources = new AsyncDisposableStack()
  const work = await mkdtemp(join(tmpdir(), 'panorama-agent-package-'))
  resources.defer(() => rm(work, { recursive: true, force: true }))
  const modules = await findPlatformModules(root, platform)
  const binaries = { node: join(work, 'node'), crt: join(work, 'aws-crt-nodejs.node') }
  await stripBinary(platform, modules.node, binaries.node)
  await stripBinary(platform, modules.crt, binaries.crt)
  await runTool(process.execPath, [join(root, 'scripts', 'build.ts'), '--outdir', join(work, 'dist')], {
    cwd: root,
    hint: 'run `npm run build` to see more',
  })
  const sourceDate = await findSourceDate(root, options.sourceDate)
  const tree = join(work, 'tree')
  await writeTree(tree, await listFiles({ root, platform, binaries, bundles: join(work, 'dist', 'native') }))
  const libraries = await Promise.all(
    [modules.node, modules.crt].map((binary) => findLibraryVersions(platform, binary)),
  )
  const installed = await digestTree(tree)
  const control = renderControl({
    platform,
    version,
    installedBytes: installed.bytes,
    libraries: mergeLibraryVersions(libraries),
  })
  await writeControl({ root, tree, control, digests: installed.digests })
  await settleTree(tree, new Date(sourceDate * 1000))
  await mkdir(outputFolder, { recursive: true })
  const path = join(outputFolder, `panorama-agent_${version}_${platform.architecture}.deb`)
  await runTool('dpkg-deb', [...compression(options), '--root-owner-group', '--build', tree, path], {
    env: { SOURCE_DATE_EPOCH: String(sourceDate) },
    hint: 'install the Debian package dpkg',
  })
  return path
}

/** One thread: with more, the bytes depend on the machine. */
function compression({ isFast }: PackageOptions): readonly string[] {
  return isFast ? ['-Zgzip', '-z1'] : ['-Zxz', '-z9', '-Sextreme', '--threads-max=1']
}

interface InstalledTree {
  readonly bytes: number
  /** The lines of `md5sums`, which dpkg compares what is installed with; nothing about trust. */
  readonly digests: string
}

async function digestTree(tree: string): Promise<InstalledTree> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const lines: string[] = []
  let bytes = 0
  for (const path of paths.sort()) {
    const digest = createHash('md5')
      .update(await readFile(path))
      .digest('hex')
    lines.push(`${digest}  ${path.slice(tree.length + 1)}\n`)
    bytes += (await stat(path)).size
  }
  return { bytes, digests: lines.join('') }
}

interface ControlFiles {
  readonly root: string
  readonly tree: string
  readonly control: string
  readonly digests: string
}

async function writeControl({ root, tree, control, digests }: ControlFiles): Promise<void> {
  const scripts = ['postinst', 'prerm', 'postrm'].map(
    (name) => ({ path: `DEBIAN/${name}`, mode: 0o755, source: { copyOf: join(root, 'packaging', name) } }) as const,
  )
  await writeTree(tree, [
    ...scripts,
    { path: 'DEBIAN/control', mode: 0o644, source: { content: control } },
    { path: 'DEBIAN/md5sums', mode: 0o644, source: { content: digests } },
  ])
}
