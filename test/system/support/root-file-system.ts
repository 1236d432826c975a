import { createHash } from 'node:crypto'
import { access, chmod, mkdir, mkdtemp, readdir, rename, stat, truncate, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

import { runCommand } from '../../support/run-command.ts'

/** What an appliance's image has besides Debian's minimal system. Part of the key, as everything of the recipe is. */
const recipe = {
  version: 1,
  suite: 'bookworm',
  packages: ['systemd', 'systemd-sysv', 'dbus', 'udev', 'procps', 'iproute2', 'libatomic1', 'libstdc++6'],
}
const buildWithinMs = 480_000
const staleMs = 86_400_000

/**
 * A Debian root file system that was never booted, kept between runs below `$XDG_CACHE_HOME`. Not to be changed: boot a
 * copy. The first call of a machine takes a minute and needs Debian's packages and root.
 */
export async function baseRootFileSystem(): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'panorama-agent')
  const key = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16)
  const folder = join(cache, `${recipe.suite}-${process.arch}-${key}`)
  if (await isThere(folder)) return folder
  await mkdir(cache, { recursive: true })
  await removeStale(cache)
  const building = await mkdtemp(`${folder}.tmp-`)
  try {
    await build(building)
    await rename(building, folder)
  } catch (error) {
    await removeTree(building)
    if (!(await isThere(folder))) throw error // else another run was quicker
  }
  return folder
}

/** Removes a tree, but nothing that is mounted in it. */
export async function removeTree(folder: string): Promise<void> {
  await runCommand('rm', ['-rf', '--one-file-system', folder])
}

async function build(folder: string): Promise<void> {
  const include = `--include=${recipe.packages.join(',')}`
  console.log(`building the Debian ${recipe.suite} image that the system tests boot, once per machine`)
  await runCommand('debootstrap', ['--variant=minbase', include, recipe.suite, folder], { withinMs: buildWithinMs })
  await chmod(folder, 0o755) // mkdtemp makes it for root alone
  await runCommand('chroot', [folder, 'apt-get', 'clean'])
  await writeFile(join(folder, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n')
  await writeFile(join(folder, 'etc/hostname'), 'appliance\n')
  await truncate(join(folder, 'etc/machine-id')) // made at the first boot, as machine-id(5) wants it for images
}

/** Left by runs that were killed while they built. */
async function removeStale(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.includes('.tmp-')) continue
    const { mtimeMs } = await stat(join(cache, name))
    if (Date.now() - mtimeMs > staleMs) await removeTree(join(cache, name))
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

/** A copy to boot, on the file system of `target`; its folder must be there. */
export async function copyTree(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  await runCommand('cp', ['-a', '--reflink=auto', source, target])
}
