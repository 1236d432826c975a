import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { PackageFile } from './package-tree.ts'
import type { Platform } from './platform.ts'

export interface PackageSources {
  /** The checkout. */
  readonly root: string
  readonly platform: Platform
  readonly binaries: { readonly node: string; readonly crt: string }
  /** The folder of the bundles. */
  readonly bundles: string
}

const lib = 'usr/lib/panorama-agent'

/** Everything that the package installs but what is there to read. */
export async function listPrograms(sources: PackageSources): Promise<readonly PackageFile[]> {
  const { root, platform, binaries } = sources
  return [
    copy('usr/bin/panorama-agent', join(root, 'packaging', 'panorama-agent'), 0o755),
    copy(`${lib}/node`, binaries.node, 0o755),
    copy(`${lib}/bin/${platform.crtFolder}/aws-crt-nodejs.node`, binaries.crt, 0o644),
    ...(await copyFolder(`${lib}/native`, sources.bundles, /\.[cm]js$/)),
    ...(await listUnits(root)),
  ]
}

async function listUnits(root: string): Promise<readonly PackageFile[]> {
  const systemd = join(root, 'systemd')
  return [
    ...(await copyFolder('usr/lib/systemd/system', systemd, /^(?!panorama-agent-update\.).*\.(service|path)$/)),
    ...(await copyFolder('usr/lib/sysusers.d', join(systemd, 'sysusers.d'), /\.conf$/)),
    ...(await copyFolder('usr/lib/tmpfiles.d', join(systemd, 'tmpfiles.d'), /\.conf$/)),
    ...(await copyFolder(lib, systemd, /^(find-serial|record-exit|unseal-key)$/, 0o755)),
    ...(await copyFolder(lib, systemd, /^panorama-agent-update\.service$/)),
  ]
}

async function copyFolder(
  target: string,
  folder: string,
  names: RegExp,
  mode: PackageFile['mode'] = 0o644,
): Promise<readonly PackageFile[]> {
  const found = (await readdir(folder)).filter((name) => names.test(name)).sort()
  return found.map((name) => copy(`${target}/${name}`, join(folder, name), mode))
}

function copy(path: string, copyOf: string, mode: PackageFile['mode']): PackageFile {
  return { path, mode, source: { copyOf } }
}
