import { generateKeyPairSync, sign } from 'node:crypto'
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { RequestBench } from './request-bench.ts'
import { runCommand } from './run-command.ts'

export const packageArchitecture = process.arch === 'arm64' ? 'arm64' : 'amd64'

const vendor = generateKeyPairSync('ed25519')

/** Of version 1.1.0, signed by a key that the bench's appliance, which has version 1.0.0, trusts; the path of the package. */
export async function publishUpdate(bench: RequestBench): Promise<string> {
  const at = (...parts: readonly string[]): string => join(bench.folder, ...parts)
  const release = at('artifacts/agent/releases/r1')
  for (const path of ['etc/update-keys', 'update', 'lib/native', 'units', 'dpkg/info', 'artifacts/agent/releases/r1'])
    await mkdir(at(path), { recursive: true, mode: 0o755 })
  await symlink('releases/r1', at('artifacts/agent/current'))
  await writeFile(at('etc/update-keys/vendor.pem'), vendor.publicKey.export({ type: 'spki', format: 'pem' }))
  for (const name of ['node', 'native/update-runner.cjs', 'panorama-agent-update.service'])
    await writeFile(at('lib', name), name)
  await writeFile(at('bin-dpkg'), '#!/bin/sh\nexec dpkg "$@"\n', { mode: 0o755 })
  await writeFile(at('bin-dpkg-query'), `#!/bin/sh\necho 'ii  1.0.0'\n`, { mode: 0o755 })
  await bench.allow('install-update', 'agent')
  await copyFile(await makePackage(at(), '1.0.0'), at('update/installed.deb'))
  const deb = join(release, `panorama-agent_1.1.0_${packageArchitecture}.deb`)
  await copyFile(await makePackage(at(), '1.1.0'), deb)
  await writeFile(`${deb}.sig`, sign(null, await readFile(deb), vendor.privateKey))
  return deb
}

async function makePackage(folder: string, version: string): Promise<string> {
  const tree = join(folder, `tree-${version}`)
  await mkdir(join(tree, 'DEBIAN'), { recursive: true, mode: 0o755 })
  const fields = { Package: 'panorama-agent', Version: version, Architecture: packageArchitecture }
  const control = Object.entries({ ...fields, Maintainer: 'nobody', 'Installed-Size': 1, Description: 'a test' })
  await writeFile(join(tree, 'DEBIAN/control'), control.map(([key, value]) => `${key}: ${value}\n`).join(''))
  await runCommand('dpkg-deb', ['--build', '--root-owner-group', tree, `${tree}.deb`])
  return `${tree}.deb`
}
