import { mkdir, mkdtemp, readdir, rename, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { runCommand } from '../../support/run-command.ts'
import { removeTree } from './root-file-system.ts'

/** What the package depends on, that a binary needs in order to run. */
const packages = ['libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6']
const fetchWithinMs = 480_000

/**
 * A folder with Debian's libraries for arm64, for `qemu-aarch64-static -L`, kept between runs below `$XDG_CACHE_HOME`.
 * The first call of a machine needs Debian's packages and root.
 */
export async function arm64Libraries(): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'panorama-agent')
  const folder = join(cache, 'bookworm-arm64-libraries')
  if (await stat(folder).catch(() => undefined)) return folder
  await mkdir(cache, { recursive: true })
  const building = await mkdtemp(`${folder}.tmp-`)
  try {
    const fetched = join(building, 'fetched')
    const include = `--include=${packages.join(',')}`
    await runCommand('debootstrap', ['--arch=arm64', '--foreign', '--variant=minbase', include, 'bookworm', fetched], {
      withinMs: fetchWithinMs,
    })
    await extract(join(fetched, 'var/cache/apt/archives'), join(building, 'libraries'))
    await rename(join(building, 'libraries'), folder)
  } finally {
    await removeTree(building)
  }
  return folder
}

async function extract(archives: string, target: string): Promise<void> {
  const files = await readdir(archives)
  for (const name of packages) {
    const file = files.find((candidate) => candidate.startsWith(`${name}_`))
    if (file === undefined) throw new Error(`debootstrap fetched no ${name}`)
    await runCommand('dpkg-deb', ['--extract', join(archives, file), target])
  }
}
